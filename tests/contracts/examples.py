"""One hand-made, realistic value of every contract; the golden bytes are made of these."""

import msgspec
import numpy as np

from tests.contracts.control_examples import control_examples
from tests.contracts.job_examples import job_examples
from trimtab.contracts.component import Release
from trimtab.contracts.control import Phase
from trimtab.contracts.documents import (
    CollectionRecord,
    DeleteDocuments,
    DeleteReply,
    Document,
    FindPassages,
    FoundPassages,
    GetDocument,
    IndexedPassage,
    PutDocuments,
    PutReply,
    Rejected,
    RemovedPassage,
    StoredDocument,
)
from trimtab.contracts.encode import EncodeReply, EncodeRequest, TokenVectors
from trimtab.contracts.errors import ErrorCode, ErrorReply
from trimtab.contracts.explain import Candidate, ExplainedPassage, Explanation
from trimtab.contracts.feedback import (
    FeedbackReply,
    FeedbackRequest,
    PassageChosen,
    SessionQueried,
)
from trimtab.contracts.inspect import InspectReply, InspectRequest, NormFacts, StoredSample
from trimtab.contracts.keys import ApiKey, Keyring, KeyringChanged, Scope
from trimtab.contracts.mappers import (
    ControlCount,
    LabelCount,
    MappersRequest,
    MapperState,
    ServedTaxonomy,
    Unmapped,
)
from trimtab.contracts.mapping import FallbackReason, MappingMode, MapReply, MapRequest
from trimtab.contracts.pipeline import (
    MapAnswer,
    MapBatchAnswer,
    MapBatchCall,
    MapBatchItem,
    MapCall,
    SearchReply,
    SearchRequest,
    SearchResult,
)
from trimtab.contracts.rerank import FeatureValues, RerankReply, RerankRequest
from trimtab.contracts.retrieve import (
    DenseOutage,
    Fallback,
    Hit,
    IndexUse,
    RetrieveReply,
    RetrieveRequest,
    ScoreReply,
    ScoreRequest,
    Signals,
    SparseUse,
)
from trimtab.contracts.samples import (
    AlertStatus,
    BudgetStatus,
    EndpointSample,
    GuardrailStatus,
    HealthRequest,
    Readiness,
    ReleaseStatus,
    RolloutStatus,
    Sample,
    StatusReply,
    StatusRequest,
    WorkerStatus,
)
from trimtab.contracts.sparse import SparseRow, SparseSpace, SparseVectors
from trimtab.contracts.tensor import Matrix
from trimtab.contracts.vectors import VectorsReply, VectorsRequest

_SPACE = "single_vector.minilm.384.v1"


def _matrix(rows: int, dim: int, dtype: str = "<f4") -> Matrix:
    return Matrix.of(np.arange(rows * dim).reshape(rows, dim).astype(dtype))


def _sparse() -> SparseVectors:
    space = SparseSpace(namespace="learned_sparse.splade.v1", vocabulary="ab" * 32, size=30_522)
    row = SparseRow(
        np.array([2012, 7592], dtype=np.uint32), np.array([0.5, 2.25], dtype=np.float32)
    )
    return SparseVectors.of(space, [row])


def _encoding() -> list[msgspec.Struct]:
    tokens = TokenVectors(matrix=_matrix(3, 4, "i1"), counts=[2, 1])
    return [
        _matrix(2, 3, "<f2"),
        tokens,
        _sparse(),
        _sparse().space,
        EncodeRequest(
            namespace=_SPACE,
            texts=["copy a tree"],
            overflow="reject",
            tokens=True,
            sparse="passage",
        ),
        EncodeReply(
            namespace=_SPACE,
            vectors=_matrix(2, 3),
            token_counts=[5, 4],
            truncated=1,
            cached=0,
            tokens=tokens,
            sparse=_sparse(),
        ),
    ]


def _retrieval() -> list[msgspec.Struct]:
    hit = Hit(
        id="shutil.copytree",
        article="shutil",
        title="shutil.copytree",
        text="Recursively copy a directory tree.",
        metadata={"kind": "function"},
        tenant="public",
    )
    signals = Signals(
        fused=_matrix(1, 2),
        cosine=_matrix(1, 2),
        bm25=_matrix(1, 2),
        maxsim=_matrix(1, 2),
        gram=_matrix(2, 2, "<f2"),
        articles=[0, 1],
        session=_matrix(1, 2),
        sparse=_matrix(1, 2),
    )
    values = FeatureValues(names=["cosine", "margin"], positions=[1], values=_matrix(1, 2))
    return [
        hit,
        signals,
        RetrieveRequest(
            collection="stdlib",
            namespace=_SPACE,
            text="copy a tree",
            vector=_matrix(1, 3),
            limit=50,
            nprobe=8,
            window=_matrix(2, 3),
            exclude=["shutil.move"],
            impl="amn_v0",
            explain=True,
            sparse=_sparse(),
        ),
        _use(),
        RetrieveReply(
            collection="stdlib",
            index="stdlib@42",
            hits=[hit],
            signals=signals,
            fallback=Fallback.WINDOW_SHORT,
            search=_use(),
            dense=DenseOutage.DEADLINE,
            sparse=SparseUse.NO_VECTOR,
        ),
        ScoreRequest(
            text="copy a tree",
            vector=_matrix(1, 3),
            documents=["one", "two"],
            document_vectors=_matrix(2, 3),
        ),
        ScoreReply(signals=signals),
        *_inspection(),
        *_stored_vectors(),
        RerankRequest(signals=signals, features_of=1),
        values,
        RerankReply(
            order=[1, 0], scores=[0.25, 0.75], moved=2, first_changed=True, features=values
        ),
    ]


def _use() -> IndexUse:
    return IndexUse(
        kind="ivf",
        lists=90,
        nprobe=8,
        visited=32,
        exact=False,
        took_ms={"dense": 0.5, "lexical": 0.25},
    )


def _explained() -> list[msgspec.Struct]:
    explanation = _explanation()
    return [*explanation.pool, *explanation.top, explanation]


def _explanation() -> Explanation:
    candidate = Candidate(id="shutil.copytree", rank=1, rank_before=3, cosine=0.5)
    passage = ExplainedPassage(
        id="shutil.copytree",
        rank=1,
        rank_before=3,
        cosine=0.5,
        margin=0.0,
        bm25=7.25,
        maxsim=0.75,
        sparse=3.5,
        fused=0.625,
        score=0.875,
        score_margin=0.0,
        same_article=4,
        features={"cosine": 0.5, "margin": -0.125},
    )
    return Explanation(
        request_id="r-1",
        tenant="public",
        at=1_700_000_000.0,
        asked=True,
        release="base",
        role="stable",
        bucket=4711,
        revision=7,
        collection="stdlib",
        index="stdlib@42",
        search=_use(),
        impl="last_vec",
        fallback=Fallback.WINDOW_SHORT,
        versions={"retrieve": "hybrid@1", "rerank": "mlp-full@1"},
        instances={"retrieve": "retriever-1"},
        timing_ms={"retrieve": 1.5, "total": 4.5},
        degraded=["query_model: window_short"],
        pool=[candidate],
        top=[passage],
    )


def _inspection() -> list[msgspec.Struct]:
    norms = NormFacts(count=3, least=0.9999999, greatest=1.0000001, mean=1.0, beyond=0)
    sample = StoredSample(ids=["shutil.copytree"], vectors=_matrix(1, 3))
    return [
        norms,
        sample,
        InspectRequest(collection="stdlib", sample=1, seed=7),
        InspectReply(
            collection="stdlib",
            index="stdlib@3",
            namespace=_SPACE,
            encoder="minilm-int8@1",
            kind="ivf",
            metric="inner_product",
            dimension=3,
            sequence=3,
            passages=3,
            listed=3,
            nprobe=8,
            lists=[2, 1],
            indexed=2,
            dead=0,
            advice="rebuild: grew 50 % since trained; `trimtab index rebuild stdlib`",
            imbalance=1.1111,
            stored=norms,
            copies=norms,
            models={"mean": norms},
            snapshot="5f" * 32,
            snapshot_sequence=3,
            sample=sample,
        ),
    ]


def _stored_vectors() -> list[msgspec.Struct]:
    return [
        VectorsRequest(collection="stdlib", after=511, limit=2),
        VectorsReply(
            namespace=_SPACE,
            encoder="minilm-int8@1",
            passages=514,
            ids=["shutil.copytree", ""],
            vectors=_matrix(2, 3),
            last=513,
            more=False,
        ),
    ]


def _mapping() -> list[msgspec.Struct]:
    answer = MapReply(
        taxonomy=["ABUSE.Threat"],
        scores={"ABUSE.Threat": 0.9},
        confidence=0.9,
        decided_by="rules",
        fallback_reason=FallbackReason.LOW_CONFIDENCE,
        mode=MappingMode.HYBRID,
        versions={"taxonomy": "ai-safety@1"},
        controls={"NIST-AI-RMF": ["MS-2.6"]},
    )
    failed = ErrorReply(
        code=ErrorCode.NOT_FOUND,
        error="UnknownTaxonomy",
        detail="unknown taxonomy 'x'; known: ai-safety",
        retryable=False,
    )
    call = MapCall(output="hate/threatening", detector="openai-moderation", threshold=0.5)
    items = [MapBatchItem(answer=answer, error=None), MapBatchItem(answer=None, error=failed)]
    return [
        answer,
        failed,
        call,
        *items[:1],
        MapRequest(
            taxonomy="ai-safety",
            detector="openai-moderation",
            output="hate|violence",
            vectors=_matrix(2, 3),
            mode=MappingMode.RULES_ONLY,
            fallback=FallbackReason.TIMEOUT,
            threshold=0.5,
        ),
        MapAnswer(request_id="r-1", release="base", answer=answer, timing_ms={"total": 1.5}),
        MapBatchCall(items=[call]),
        MapBatchAnswer(request_id="r-1", release="base", items=items),
    ]


def _front_door() -> list[msgspec.Struct]:
    result = SearchResult(
        id="shutil.copytree",
        score=0.97,
        title="shutil.copytree",
        text="Recursively copy a directory tree.",
        article="shutil",
        metadata={"kind": "function"},
    )
    return [
        result,
        SearchRequest(
            text="copy a tree",
            collection="stdlib",
            limit=10,
            context=["move a tree"],
            exclude=["shutil.move"],
            session="s-1",
            explain=True,
        ),
        SearchReply(
            request_id="r-1",
            release="base",
            results=[result],
            timing_ms={"encode": 1.25, "total": 4.5},
            versions={"retrieve": "stdlib@42"},
            degraded=["rerank: no_workers"],
            explanation=_explanation(),
        ),
    ]


def _feedback() -> list[msgspec.Struct]:
    key = "0f" * 16
    return [
        FeedbackRequest(request_id="r-1", passage="shutil.copytree"),
        FeedbackReply(request_id="r-1"),
        PassageChosen(search=key, passage="shutil.copytree"),
        SessionQueried(session=key, vector=_matrix(1, 3)),
    ]


def _documents() -> list[msgspec.Struct]:
    document = Document(
        id="a-1", text="Rotate the key.", title="Keys", article="ops", metadata={"lang": "en"}
    )
    rejected = Rejected(index=1, id="a-2", reason="text is blank; send some")
    return [
        document,
        rejected,
        PutDocuments(collection="ops", documents=[document]),
        PutReply(
            collection="ops",
            new=1,
            unchanged=0,
            rejected=[rejected],
            sequence=7,
            degraded=["sparse: no_model"],
        ),
        IndexedPassage(
            collection="ops",
            namespace=_SPACE,
            component="minilm@1",
            document=document,
            content_hash="ab" * 32,
            vector=_matrix(1, 3),
            tokens=None,
            sparse=_sparse(),
        ),
        RemovedPassage(collection="ops", tenant="public", id="a-1"),
        CollectionRecord(
            collection="ops",
            namespace=_SPACE,
            component="minilm@1",
            dimension=384,
            sparse=_sparse().space,
        ),
        DeleteDocuments(collection="ops", ids=["a-1"], articles=["ops"]),
        DeleteReply(collection="ops", deleted=1, missing=1, sequence=8),
        GetDocument(collection="ops", id="a-1"),
        StoredDocument(
            collection="ops",
            namespace=_SPACE,
            component="minilm@1",
            content_hash="ab" * 32,
            sequence=7,
            document=document,
        ),
        FindPassages(collection="ops", articles=["ops"], sequence=7),
        FoundPassages(ids=["a-1"], more=False),
    ]


def _samples() -> list[msgspec.Struct]:
    endpoint = EndpointSample(
        endpoint="encode",
        component="minilm@1",
        release="base",
        outcomes={"ok": 9, "overloaded": 1},
        latency=b"\x01\x02",
        bad={"token_overflow": 1},
    )
    worker = WorkerStatus(
        service="encoder",
        instance="encoder-1",
        version="0.1.0",
        readiness=Readiness.DEGRADED,
        reason="no model",
        components={"minilm@1": "ab12"},
        revision=3,
        age_s=0.5,
        silent=False,
        uptime_s=60.0,
        rss_bytes=123456789,
        requests=600,
        errors=1,
        p95_ms=2.5,
        facts={"cache_hits": 12},
    )
    return [
        endpoint,
        worker,
        HealthRequest(),
        StatusRequest(),
        Sample(
            service="encoder",
            instance="encoder-1",
            version="0.1.0",
            readiness=Readiness.READY,
            reason="",
            components={"minilm@1": "ab12"},
            revision=3,
            started_at=1790000000.0,
            at=1790000060.0,
            interval_s=1.0,
            rss_bytes=123456789,
            in_flight=2,
            endpoints=[endpoint],
            facts={"mean_norm": 1.0},
        ),
        *_status(worker),
    ]


def _status(worker: WorkerStatus) -> list[msgspec.Struct]:
    release = ReleaseStatus(
        name="base",
        role="stable",
        hash="0123456789ab",
        weight_bp=9500,
        components={"encode": "minilm@1"},
    )
    guardrail = GuardrailStatus(
        name="error rate",
        severity="critical",
        outcome="inconclusive",
        reason="error rate: canary 1/120 = 0.83%, 120 of 500 requests",
        evidence=0.62,
        rejects_at=300.0,
    )
    rollout = RolloutStatus(
        release="next",
        policy="retriever-v0",
        phase=Phase.RUNNING,
        weight_bp=500,
        step=1,
        steps=4,
        on_step_s=720.0,
        hold_s=7200.0,
        cause="a better index",
        verdict="inconclusive",
        reason="120 of 500 requests",
        guardrails=[guardrail],
    )
    alert = AlertStatus(
        name="MapperFallbackHigh",
        severity="warning",
        state="firing",
        condition="map_fallback_rate > 10% for 10 minutes",
        measured=0.14,
        since=1789999400.0,
        notes="Rules answer instead of the model.",
    )
    budget = BudgetStatus(
        objective="retrieve",
        event="latency > 8ms",
        allowed=0.05,
        remaining=0.93,
        burn={"5m": 0.4, "1h": 1.2},
    )
    reply = StatusReply(
        at=1790000060.0,
        workers=[worker],
        revision=3,
        release="base",
        releases=[release],
        rollout=rollout,
        switches=["reranker=off, 600 s left, by ana"],
        frozen="ana: holidays",
        alerts=[alert],
        budgets=[budget],
    )
    return [release, guardrail, rollout, alert, budget, reply]


def _mappers() -> list[msgspec.Struct]:
    served = ServedTaxonomy(
        component="safety-rules@2",
        component_hash="0f" * 32,
        taxonomy="ai-safety",
        versions={"taxonomy": "ai-safety@1+1d91bd7cea1e", "adapter": "safety-head@1+3a118dd2cf0b"},
    )
    label = LabelCount(taxonomy="ai-safety", label="HARM.SPEECH.Hate", answers=7)
    control = ControlCount(taxonomy="ai-safety", framework="SOC2", control="CC7.2", answers=7)
    unmapped = Unmapped(
        detector="llama-guard",
        digest="00d1a5e5c0ffee00",
        length=3,
        reason="low_confidence",
        count=2,
        output="S15",
    )
    state = MapperState(
        instance="mapper-1",
        revision=3,
        served=[served],
        refused={"safety-rules@3": "llama-guard.yaml: labels.S1: X.Y is no label of ai-safety"},
        counted_from=1790000000.0,
        answers=9,
        beyond=0,
        labels=[label],
        controls=[control],
        unmapped=[unmapped],
    )
    return [MappersRequest(since_s=3600.0, unmapped=20), served, label, control, unmapped, state]


def _keys() -> list[msgspec.Struct]:
    key = ApiKey(
        id="0123456789ab",
        digest="ab" * 32,
        tenant="acme",
        scopes=[Scope.SEARCH, Scope.MAP],
        label="the help desk",
        created_at=1790000000.0,
        expires_at=1797776000.0,
        per_minute=600,
    )
    return [key, Keyring(keys=[key]), KeyringChanged()]


def _state() -> list[msgspec.Struct]:
    release = Release(
        name="base",
        encode="minilm@1",
        retrieve="hybrid@1",
        rerank="mlp-full@4",
        map="head@2",
        namespace=_SPACE,
        settings={"retriever.nprobe": 8, "mapper.enabled": True, "mapper.threshold": 0.5},
    )
    return [release, *control_examples(release)]


def examples() -> dict[str, msgspec.Struct]:
    """Return one value of every contract by class name."""
    groups = (
        _encoding,
        _retrieval,
        _explained,
        _mapping,
        _front_door,
        _feedback,
        _documents,
        _samples,
        _keys,
        _mappers,
        job_examples,
        _state,
    )
    return {type(value).__name__: value for group in groups for value in group()}
