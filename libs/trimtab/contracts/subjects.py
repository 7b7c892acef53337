"""Every subject, stream and bucket, in one place; no other file spells one.

*work*: a queue group named like the service, one worker answers. *broadcast*: no queue group, every
worker gets it. Ids and tenants never stand in subjects: they would make metrics grow without bound.

| subject | kind | from -> to |
|---|---|---|
| ``trimtab.v1.search`` | work | producer -> gateway |
| ``trimtab.v1.map_output``, ``trimtab.v1.map_batch`` | work | producer -> gateway |
| ``trimtab.v1.documents``, ``trimtab.v1.documents_delete``, ``trimtab.v1.documents_get`` | work | producer -> gateway |
| ``trimtab.v1.feedback`` | work | producer -> gateway |
| ``trimtab.v1.job`` | work | producer -> gateway |
| ``trimtab.v1.encode.<component>`` | work | gateway -> encoder |
| ``trimtab.v1.retrieve.<component>``, ``trimtab.v1.score.<component>`` | work | gateway -> retriever |
| ``trimtab.v1.passages.<component>`` | work | gateway -> retriever |
| ``trimtab.v1.inspect.<component>``, ``trimtab.v1.vectors.<component>`` | work | operator -> retriever |
| ``trimtab.v1.rerank.<component>`` | work | gateway -> reranker |
| ``trimtab.v1.map.<component>`` | work | gateway -> mapper |
| ``trimtab.v1.health`` | broadcast | anybody -> every worker |
| ``trimtab.op.v1.status`` | work | operator -> controller |
| ``trimtab.op.v1.mappers`` | broadcast | operator -> every mapper |
| ``trimtab.op.v1.command`` | work | operator -> controller |
| ``trimtab.op.v1.evaluation`` | work | operator -> controller |
| ``trimtab.op.v1.probe_search``, ``trimtab.op.v1.probe_map`` | work | operator -> gateway |
| ``trimtab.ctl.hint``, ``trimtab.ctl.heartbeat`` | broadcast | controller -> every worker |
| ``trimtab.evt.applied.<service>.<instance>`` | event | worker -> controller and operators |
| ``trimtab.evt.sample.<service>.<instance>`` | event | worker -> controller |
| ``trimtab.evt.evaluation`` | event | controller -> controllers and operators |
| ``trimtab.evt.keys`` | event | operator -> every gateway |
| ``trimtab.evt.session``, ``trimtab.evt.feedback`` | event | gateway -> every gateway |
| ``trimtab.audit.entry`` | stream | controllers and direct commands -> auditors |
| ``trimtab.doc.<collection>``, ``trimtab.doc.<collection>.<key>`` | stream | gateway -> retrievers |
| ``trimtab.explain.<key>`` | stream | gateway -> operators |
| ``trimtab.job.<kind>.<priority>.<key>`` | work queue | producer -> gateway |
| ``trimtab.result.<key>`` | stream | gateway -> gateways |
| ``trimtab.dead.letter.<key>``, ``trimtab.dead.request.<key>`` | stream | gateway -> operators |
| ``$SRV.PING|INFO|STATS[.<name>[.<id>]]`` | broadcast | NATS tools -> every worker |
"""

from trimtab.contracts.component import subject_token

SEARCH = "trimtab.v1.search"
MAP_OUTPUT = "trimtab.v1.map_output"
MAP_BATCH = "trimtab.v1.map_batch"
DOCUMENTS = "trimtab.v1.documents"
DOCUMENTS_DELETE = "trimtab.v1.documents_delete"
DOCUMENTS_GET = "trimtab.v1.documents_get"
FEEDBACK = "trimtab.v1.feedback"
JOB = "trimtab.v1.job"
HEALTH = "trimtab.v1.health"
STATUS = "trimtab.op.v1.status"
MAPPERS = "trimtab.op.v1.mappers"
COMMAND = "trimtab.op.v1.command"
EVALUATE = "trimtab.op.v1.evaluation"
PROBE_SEARCH = "trimtab.op.v1.probe_search"
PROBE_MAP = "trimtab.op.v1.probe_map"
HINT = "trimtab.ctl.hint"
HEARTBEAT = "trimtab.ctl.heartbeat"
SAMPLES = "trimtab.evt.sample.>"
APPLIED = "trimtab.evt.applied.>"
EVALUATION = "trimtab.evt.evaluation"
SESSION_QUERIED = "trimtab.evt.session"
PASSAGE_CHOSEN = "trimtab.evt.feedback"
KEYS_CHANGED = "trimtab.evt.keys"

INBOX_PREFIX = "_INBOX"
"""Where replies may go; any other reply subject is refused (confused deputy)."""

DISCOVERY = "$SRV"
"""Prefix of the service protocol of ADR-32."""

CONTROL_BUCKET = "trimtab_control"
"""KV bucket of the control state."""

CONTROL_KEY = "state"
"""Key of the one control document."""

KILL_KEY = "kill"
"""Key of the kill lane."""

LEASE_BUCKET = "trimtab_lease"
"""KV bucket of the controllers' lease: apart, or its renewals would use up the revisions that order commands."""

LEASE_KEY = "leader"
"""Its one key."""

EVALUATION_BUCKET = "trimtab_evaluations"
"""KV bucket of the newest evaluations: apart, for controllers alone to write."""

EVALUATION_KEY = "newest"
"""Its one key."""

KEYS_BUCKET = "trimtab_keys"
"""KV bucket of the API keys' digests."""

KEYS_KEY = "keys"
"""Its one key."""

ARTIFACT_BUCKET = "trimtab_artifacts"
"""Object store of component files."""

DOCS_STREAM = "TRIMTAB_DOCS"
"""Stream of passages: the last message of a subject is the passage's present content, or says it is gone."""

AUDIT_STREAM = "TRIMTAB_AUDIT"
"""Stream of the audit: no delete, no purge."""

AUDIT = "trimtab.audit.entry"

DOCS = "trimtab.doc.>"

EXPLAIN_STREAM = "TRIMTAB_EXPLAIN"
"""Stream of explanations of searches: it forgets the oldest."""

EXPLANATIONS = "trimtab.explain.*"

JOBS_STREAM = "TRIMTAB_JOBS"
"""Work queue of jobs: a message is gone once a gateway has made its result durable."""

RESULTS_STREAM = "TRIMTAB_RESULTS"
"""Stream of what became of jobs: the last word of each, for a day."""

DLQ_STREAM = "TRIMTAB_DLQ"
"""Stream of jobs that were given up: a letter for people, and the request for a replay, for a week."""

IDEMPOTENCY_BUCKET = "trimtab_idempotency"
"""KV bucket of answers by idempotency key."""

JOBS = "trimtab.job.>"

RESULTS = "trimtab.result.*"

DEAD = "trimtab.dead.>"

DEAD_LETTERS = "trimtab.dead.letter.*"


def encode(component: str) -> str:
    """Subject of an encoder component."""
    return f"trimtab.v1.encode.{subject_token(component)}"


def retrieve(component: str) -> str:
    """Subject of a retriever component."""
    return f"trimtab.v1.retrieve.{subject_token(component)}"


def score(component: str) -> str:
    """Subject of a retriever component's scoring of loose texts."""
    return f"trimtab.v1.score.{subject_token(component)}"


def passages(component: str) -> str:
    """Subject of a retriever component's look-up of passages by article."""
    return f"trimtab.v1.passages.{subject_token(component)}"


def inspect(component: str) -> str:
    """Subject of a retriever component's facts of its indexes."""
    return f"trimtab.v1.inspect.{subject_token(component)}"


def vectors(component: str) -> str:
    """Subject of a retriever component's stored vectors, page by page."""
    return f"trimtab.v1.vectors.{subject_token(component)}"


def rerank(component: str) -> str:
    """Subject of a reranker component."""
    return f"trimtab.v1.rerank.{subject_token(component)}"


def mapping(component: str) -> str:
    """Subject of a mapper component."""
    return f"trimtab.v1.map.{subject_token(component)}"


def sample(service: str, instance: str) -> str:
    """Subject of one worker's samples."""
    return f"trimtab.evt.sample.{service}.{instance}"


def applied(service: str, instance: str) -> str:
    """Subject of one worker's acknowledgements."""
    return f"trimtab.evt.applied.{service}.{instance}"


def document(collection: str, key: str) -> str:
    """Subject of one passage; ``key`` is a hex digest of tenant and id."""
    return f"trimtab.doc.{collection}.{key}"


def collection_record(collection: str) -> str:
    """Subject of a collection's own record."""
    return f"trimtab.doc.{collection}"


def documents_of(collection: str) -> str:
    """Subject of all passages of one collection."""
    return f"trimtab.doc.{collection}.*"


def explanation(key: str) -> str:
    """Subject of one explanation; ``key`` is a hex digest of tenant and request id."""
    return f"trimtab.explain.{key}"


def job(kind: str, priority: str, key: str) -> str:
    """Subject of one job; ``key`` is a hex digest of tenant and job id."""
    return f"trimtab.job.{kind}.{priority}.{key}"


def job_of(key: str) -> str:
    """Subject of the job of this key, whatever its kind and priority."""
    return f"trimtab.job.*.*.{key}"


def jobs_of_kind(kind: str) -> str:
    """Subject of all jobs of one kind."""
    return f"trimtab.job.{kind}.>"


def jobs_of_priority(priority: str) -> str:
    """Subject of all jobs of one priority."""
    return f"trimtab.job.*.{priority}.*"


def result(key: str) -> str:
    """Subject of what became of one job; ``key`` as in :func:`job`."""
    return f"trimtab.result.{key}"


def dead_letter(key: str) -> str:
    """Subject of one dead letter."""
    return f"trimtab.dead.letter.{key}"


def dead_request(key: str) -> str:
    """Subject of the job that a dead letter is about."""
    return f"trimtab.dead.request.{key}"
