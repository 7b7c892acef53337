"""The last step of a start: the shipped corpus in its collection, searchable, unless it is there already."""

from collections.abc import Callable
from typing import Literal

import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig

from trimtab.client import Client
from trimtab.contracts.errors import BusUnavailable, TrimtabError
from trimtab.contracts.subjects import DOCS_STREAM, documents_of
from trimtab.control.store import ControlStore
from trimtab.corpus.stdlib import COLLECTION
from trimtab.supervisor import shipped
from trimtab.supervisor.home import Home
from trimtab.supervisor.options import UpOptions
from trimtab.supervisor.profile import COMPONENTS
from trimtab.supervisor.supervisor import StartFailed

SEARCHABLE_TIMEOUT_S = 120.0

Outcome = Literal["ingested", "present", "none"]
Progress = Callable[[int, int], None]


async def fill(options: UpOptions, home: Home, nats_url: str, progress: Progress) -> Outcome:
    """Ingest the shipped corpus if the deployment lacks it.

    Raises:
        StartFailed: the deployment refused it, or its release asks for another encoder than runs.
    """
    try:
        async with Client.connect(nats_url, name="supervisor") as client:
            await _agree(client, options)
            if options.corpus == "none":
                return "none"
            stored = await passages(client, COLLECTION)
            if shipped.is_whole(home.corpus_marker, options.corpus_modules, stored):
                return "present"
            report = await shipped.ingest(
                client, home.corpus_marker, options.corpus_modules, progress
            )
            await client.wait_searchable(report.sequence, timeout_s=SEARCHABLE_TIMEOUT_S)
    except (TrimtabError, shipped.CorpusRefused, ValueError) as error:
        raise StartFailed(
            f"the shipped corpus could not be ingested: {error}",
            f"see the logs in {home.logs}, or start without it: --corpus none",
        ) from error
    return "ingested"


async def _agree(client: Client, options: UpOptions) -> None:
    """Refuse a home whose release was made for another encoder: its passages lie in another index."""
    store = await ControlStore.open(client.connection)
    wanted = (await store.read()).release.encode
    if wanted == COMPONENTS[options.encoder]:
        return
    profiles = [profile for profile, component in COMPONENTS.items() if component == wanted]
    option = f"start with --encoder {profiles[0]}" if profiles else "start its encoder by hand"
    raise StartFailed(
        f"this home's release asks for the encoder {wanted}, "
        f"--encoder {options.encoder} runs {COMPONENTS[options.encoder]}",
        f"{option}, or take a fresh home: TRIMTAB_HOME=FOLDER",
    )


async def passages(client: Client, collection: str) -> int:
    """Return how many passages of a collection the stream holds: what a new reader would have to read.

    Raises:
        BusUnavailable: JetStream does not answer.
    """
    js = client.connection.jetstream(timeout=10)
    reader = ConsumerConfig(
        filter_subject=documents_of(collection), ack_policy=AckPolicy.NONE, inactive_threshold=5.0
    )
    try:
        info = await js.add_consumer(DOCS_STREAM, reader)
        await js.delete_consumer(DOCS_STREAM, info.name)
    except nats.js.errors.NotFoundError:
        return 0
    except (nats.js.errors.Error, nats.errors.Error):
        raise BusUnavailable from None
    return info.num_pending or 0
