"""One hand-made, realistic value of every control and audit contract."""

import msgspec

from trimtab.contracts.audit import GENESIS, AuditEntry, Checkpoint
from trimtab.contracts.component import Release
from trimtab.contracts.control import (
    Applied,
    ApplyStatus,
    Canary,
    ControlState,
    Convergence,
    Freeze,
    Heartbeat,
    Hint,
    Kill,
    KillLane,
    LeaseDocument,
    Phase,
    Setting,
    Switch,
)
from trimtab.contracts.evaluation import (
    Evaluation,
    EvaluationReply,
    KeptEvaluations,
    RetrievedFigures,
)
from trimtab.contracts.gates import (
    Gate,
    GateReport,
    ProbedMap,
    ProbedSearch,
    ProbeMap,
    ProbeSearch,
)
from trimtab.contracts.mapping import MappingMode, MapReply
from trimtab.contracts.orders import (
    AbortCommand,
    CreateReleaseCommand,
    DeleteReleaseCommand,
    Finding,
    FreezeCommand,
    KillCommand,
    Order,
    Outcome,
    PauseCommand,
    PromoteCommand,
    RecordGateCommand,
    RestoreCommand,
    ResumeCommand,
    RollBackCommand,
    SetCommand,
    SetWeightCommand,
    StartCanaryCommand,
)
from trimtab.contracts.pipeline import MapCall


def control_examples(release: Release) -> list[msgspec.Struct]:
    """Return the documents, the commands and what is said about them."""
    return [*_documents(release), *_commands(release), *_words(release), *_audit(), *_gates()]


def _documents(release: Release) -> list[msgspec.Struct]:
    kill = Kill(
        switch=Switch.MAPPER_MODE,
        value="rules_only",
        tenant="acme",
        actor="ana",
        reason="bad labels",
        at=1790000000.0,
        expires_at=1790014400.0,
    )
    setting = Setting(value=4, actor="ana", reason="latency", expires_at=None)
    canary = Canary(
        release="next",
        policy="retriever-v0",
        weight_bp=500,
        phase=Phase.RUNNING,
        step=0,
        step_since=1790000000.0,
        salt="next/1790000000.000",
    )
    freeze = Freeze(actor="ana", reason="holidays", at=1790000000.0)
    return [
        kill,
        setting,
        canary,
        freeze,
        KillLane(operation="op-2", kills=[kill], at=1790000000.0),
        LeaseDocument(instance="controller-1", epoch=7, free=False),
        _state(release, setting, canary, freeze),
    ]


def _state(release: Release, setting: Setting, canary: Canary, freeze: Freeze) -> ControlState:
    return ControlState(
        operation="op-1",
        epoch=7,
        stable="base",
        previous=None,
        releases={"base": release},
        canary=canary,
        settings={"retriever.nprobe": setting},
        freeze=freeze,
        actor="ana",
        reason="first",
        at=1790000000.0,
    )


def _report() -> GateReport:
    return GateReport(
        gate=Gate.NORMS,
        release="base",
        release_hash="0123456789ab",
        cases=64,
        cases_hash="ab" * 32,
        figures={"norm_error": 1.2e-7},
        at=1790000000.0,
    )


def _gates() -> list[msgspec.Struct]:
    named = {"release": "base", "release_hash": "0123456789ab"}
    call = MapCall(output="toxic", detector="detoxify")
    retrieved = RetrievedFigures(recall_at_5=0.39, mrr_at_10=0.33, contain_at_50=0.86)
    evaluation = Evaluation(
        at=1790000000.0,
        release="base",
        collection="stdlib",
        queries=300,
        recall_at_5=0.41,
        before=0.53,
        contain_at_50=0.86,
        mrr_at_10=0.37,
        retrieved=retrieved,
    )
    return [
        _report(),
        ProbeSearch(**named, collection="stdlib", text="copy a directory tree"),
        ProbedSearch(
            norm=1.0,
            nearest=["a"],
            truly_nearest=["a"],
            retrieved=["a", "b"],
            truly_retrieved=["a", "b"],
            results=["b", "a"],
        ),
        ProbeMap(**named, call=call),
        ProbedMap(
            labels=["HARM.SPEECH.Toxicity"],
            answer=MapReply(
                taxonomy=["HARM.SPEECH.Toxicity"],
                scores={"HARM.SPEECH.Toxicity": 1.0},
                confidence=1.0,
                decided_by="rules",
                fallback_reason=None,
                mode=MappingMode.HYBRID,
                versions={"taxonomy": "ai-safety@1+3f2a9c1b22d0"},
            ),
        ),
        evaluation,
        EvaluationReply(kept=True),
        KeptEvaluations(newest=[evaluation]),
        retrieved,
    ]


def _commands(release: Release) -> list[msgspec.Struct]:
    kill = KillCommand(switch=Switch.RERANKER, value="off", ttl_s=600.0)
    return [
        kill,
        RestoreCommand(switch=Switch.RERANKER),
        SetCommand(name="retriever.nprobe", value=4, tenant="acme", ttl_s=600.0),
        CreateReleaseCommand(release=release),
        DeleteReleaseCommand(release="old"),
        StartCanaryCommand(release="next", policy="retriever-v0"),
        SetWeightCommand(weight_bp=2500),
        PauseCommand(),
        ResumeCommand(),
        PromoteCommand(),
        AbortCommand(),
        RollBackCommand(to="base"),
        FreezeCommand(on=True),
        RecordGateCommand(report=_report()),
        Order(operation="operation-1", command=kill, actor="ana", reason="drill", dry_run=True),
    ]


def _words(release: Release) -> list[msgspec.Struct]:
    state = ControlState(
        operation="op-1", stable="base", releases={"base": release}, actor="ana", reason="first"
    )
    finding = Finding(interlock="loaded:encode", ok=True, detail="minilm@1 on encoder-1")
    return [
        finding,
        Outcome(
            revision=9,
            changed=True,
            diff=["stable: base -> next"],
            findings=[finding],
            workers=["gateway-1: asks no reranker"],
            status="written",
        ),
        Hint(
            state=state,
            state_revision=9,
            lane=KillLane(operation="none", kills=[]),
            lane_revision=0,
        ),
        Heartbeat(epoch=7, instance="controller-1", state_revision=9, lane_revision=0),
        Applied(
            service="mapper",
            instance="mapper-1",
            revision=9,
            status=ApplyStatus.APPLIED,
            reason="",
            apply_ms=0.5,
            effective_hash="0123456789abcdef",
            at=1790000000.5,
        ),
        Convergence(
            revision=9,
            status="propagating",
            applied=5,
            total=6,
            lagging=["mapper-1: obeys revision 8"],
        ),
    ]


def _audit() -> list[msgspec.Struct]:
    return [
        AuditEntry(
            number=1,
            previous=GENESIS,
            at=1790000000.0,
            actor="ana",
            via="controller-1",
            action="kill",
            outcome="written",
            reason="drill",
            operation="operation-1",
            revision=9,
            epoch=0,
            diff=["kills: [] -> [...]"],
            evidence=[],
        ),
        Checkpoint(number=1, head="ab" * 32, at=1790000060.0, key="cd" * 32, signature="ef" * 64),
    ]
