#!/usr/bin/env python3
"""Writes the frames of this folder, one per file, as they were when version 2.0 was published.

It ran once. It is here so that a person can see how the bytes came about, and add a frame: `./assemble.py`
writes the files that do not exist yet and touches no other. It knows protobuf's wire format by itself and the
fields from `proto/sereno.v2.proto`; no code of the product takes part.
"""

import pathlib
import re
import struct

HERE = pathlib.Path(__file__).parent
PROTO = HERE.parents[2] / "proto" / "sereno.v2.proto"
SCALARS = {"bool", "uint32", "uint64", "sint64", "fixed64", "double", "string"}


def parse(text):
    """Messages: name -> field -> (number, type, repeated); enums: name -> value -> number."""
    messages, enums, stack = {}, {}, []
    for line in re.sub(r"//.*", "", text).splitlines():
        line = line.strip()
        if opened := re.match(r"(message|enum|oneof) (\w+) \{", line):
            stack.append(opened.groups())
            {"message": messages, "enum": enums, "oneof": {}}[opened[1]][opened[2]] = {}
        if field := re.match(r"(repeated |optional )?(\w+) (\w+) = (\d+);", line):
            owner = next(name for kind, name in reversed(stack) if kind == "message")
            messages[owner][field[3]] = (int(field[4]), field[2], field[1] == "repeated ")
        elif value := re.match(r"(\w+) = (\d+);", line):
            enums[stack[-1][1]][value[1]] = int(value[2])
        if line.endswith("}"):
            stack.pop()
    return messages, enums


MESSAGES, ENUMS = parse(PROTO.read_text())


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def zigzag(value):
    return varint((value << 1) ^ (value >> 63))


class Lines(list):
    """Bytes with what they mean."""

    def add(self, data, comment):
        self.append((data, comment))

    def size(self):
        return sum(len(data) for data, _ in self)


def scalar(kind, value):
    if kind in ENUMS:
        return varint(value if isinstance(value, int) else ENUMS[kind][value])
    if kind == "sint64":
        return zigzag(value)
    if kind == "double":
        return struct.pack("<d", value)
    if kind == "fixed64":
        return struct.pack("<Q", value)
    return varint(int(value))


def wire(kind):
    return 1 if kind in ("double", "fixed64") else 0


def encode(message, content):
    """`content`: field -> value; `+N` -> the bytes of an unknown field N, or a number."""
    lines = Lines()
    for name, value in content.items():
        if name.startswith("+"):
            number = int(name[1:])
            if isinstance(value, int):
                lines.add(varint(number << 3) + varint(value), f"{number}, of a later version: {value}")
            else:
                lines.add(varint(number << 3 | 2) + varint(len(value)) + value, f"{number}, of a later version: {value}")
            continue
        number, kind, repeated = MESSAGES[message][name]
        if repeated and (kind in SCALARS - {"string"} or kind in ENUMS):
            packed = b"".join(scalar(kind, one) for one in value)
            lines.add(varint(number << 3 | 2) + varint(len(packed)), f"{name}: {len(value)} packed")
            for one in value:
                lines.add(scalar(kind, one), f"  {one}")
            continue
        for one in value if repeated else [value]:
            if kind in ("string", "bytes"):
                text = one.encode()
                lines.add(varint(number << 3 | 2) + varint(len(text)) + text, f'{name}: "{one}"')
            elif kind in SCALARS or kind in ENUMS:
                lines.add(varint(number << 3 | wire(kind)) + scalar(kind, one), f"{name}: {one}")
            else:
                inner = encode(kind, one)
                lines.add(varint(number << 3 | 2) + varint(inner.size()), f"{name}: {inner.size()} bytes")
                lines.extend((data, "  " + comment) for data, comment in inner)
    return lines


def write(folder, name, title, message, content):
    path = HERE / folder / f"{name}.hex"
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    lines = encode(message, content)
    size = lines.size()
    body = next((name for name in content if name not in ("id", "more")), "nothing")
    text = [f"# {title or body}", f"{varint(size).hex(' ')}  # {size} bytes follow"]
    text += [f"{data.hex(' ')}  # {comment}" for data, comment in lines]
    path.write_text("\n".join(text) + "\n")


def client(name, title, **content):
    write("client", name, title, "Request", content)


def server(name, title, **content):
    write("server", name, title, "Response", content)


def later(name, title, message, **content):
    write("later", name, title, message, content)


T = 1_700_000_000_000_000_000
NAN = struct.unpack("<d", bytes.fromhex("000000000000f87f"))[0]

# ------------------------------------------------------------------------------------------------------------ session

client("01_hello", "The first request", id=1, hello=dict(major=2, client="sereno 0.1.0", token="correct horse battery", features=["a", "b"], client_id=0x0123456789ABCDEF))
server("01_welcome", "Its answer", id=1, welcome=dict(major=2, server="serenod 0.1.0", features=["b"], time=T, limits=dict(
    write_bytes_max=8388608, request_bytes_max=65536, response_bytes_max=1048576, batch_samples_max=262144,
    dictionary_len_max=1048576, in_flight_bytes_max=33554432, in_flight_requests_max=64)))

# ------------------------------------------------------------------------------------------------------------- writing

client("02_write_define", "Two series, and three samples in two runs, at whole seconds", id=2, write=dict(
    series=[dict(name="cpu.load", labels=["env", "prod", "host", "a"]), dict(ref=1, name="temperatura.salón")],
    refs=[0, 1], counts=[2, 1], times=[1700000000, 10, -10], time_unit=1_000_000_000, values=[0.5, 0.75, 21.5], ack="ACK_OS", number=1))
client("03_write_server_time", "Samples that the server stamps, one each, without a number", id=3, write=dict(refs=[1, 0], values=[NAN, float("-inf")]))
client("04_write_one_time", "One time for all, in milliseconds", id=4, write=dict(
    refs=[0, 1, 300], times=[1700000000123], time_unit=1_000_000, values=[1.0, 2.0, 3.0], ack="ACK_DISK", number=2))
client("05_write_resent", "Sent again; from the first to the last moment, so that the difference wraps", id=5, write=dict(
    refs=[0], counts=[2], times=[-(1 << 63), -1], values=[-0.0, 1e300], ack="ACK_RECEIVED", number=(1 << 64) - 1, resent=True))
server("02_written", "All of it", id=2, written=dict(stored=3))
server("04_written_rejected", "Some of it", id=4, written=dict(stored=1, rejected=[
    dict(reason="REASON_QUEUE_FULL", retry=True, spans=[0, 1], message="the queue is full"),
    dict(reason="REASON_INVALID_SERIES", spans=[2, 1, 300, 4], message="a label has no name")], retry_after_ms=250))
server("05_written_unknown", "A sync failed", id=5, written=dict(stored=2, unknown=True))

# ------------------------------------------------------------------------------------------------------------ querying

client("06_query_windows", "Every field but the pieces of a selector", id=6, query=dict(
    selector='cpu.*{env="prod"}', aggregation="worst", params=[dict(name="n", number=2.5), dict(name="unit", text="ms"), dict(name="strict", flag=True)],
    window=60_000_000_000, step=30_000_000_000, alignment="ALIGNMENT_START", grouping="GROUPING_LABELS", by=["host", "env"], across="max",
    start=T, end=T + 3_600_000_000_000, as_of=T + 1, series_max=100, points_max=10_000, timeout_ms=5_000))
client("07_query_raw", "Samples as they are, the selector in pieces; from the epoch on", id=7, query=dict(
    metric="cpu.load", matchers=[dict(label="env", value="prod"), dict(label="host", kind="MATCHER_KIND_NOT_EQUAL", value="b"),
    dict(label="rack", kind="MATCHER_KIND_REGEX", value="r[0-9]+"), dict(label="gone", kind="MATCHER_KIND_NOT_REGEX", value=".*")], start=0))
server("06_query_first", "The first of two parts: an aggregation with two values, of which one has a gap", id=6, more=True, query=dict(
    head=dict(as_of=T + 1, exact=True, series=2, across="max"),
    chunks=[dict(labels=["host", "a", "env", "prod"], times=[T, 30_000_000_000, 30_000_000_000], columns=[
        dict(name="max", values=[1.0, 2.0, 3.0]), dict(name="mean", at=[0, 2], values=[0.5, 1.5])])]))
server("06_query_last", "The last part", id=6, query=dict(
    chunks=[dict(group=1, labels=["host", "b", "env", "prod"], times=[T], columns=[dict(name="max", values=[9.0])])],
    end=dict(points=4, samples_read=240, elapsed=1_250_000)))
server("07_query_whole", "A small answer in one part", id=7, query=dict(
    head=dict(as_of=T + 2, series=1), chunks=[dict(name="cpu.load", labels=["env", "prod", "host", "a"], times=[T, 10_000_000_000], values=[0.5, 0.75])],
    end=dict(points=2, samples_read=2, elapsed=80_000)))

# ------------------------------------------------------------------------------------------------------------ browsing

client("08_list_series", "", id=8, list_series=dict(selector="cpu.*", start=T, end=T + 1, limit=10))
server("08_series", "Text form", id=8, series=dict(series=['cpu.load{env="prod",host="a"}', "cpu.temperature"], total=2))
client("09_list_labels", "", id=9, list_labels=dict(selector="cpu.load", start=-5, end=5, limit=7, label="host"))
server("09_labels", "", id=9, labels=dict(labels=[dict(text="host", series=12, values=4)], total=1))

# ---------------------------------------------------------------------------------------------------------- monitoring

client("10_monitor", "Taken up where another ended", id=10, monitor=dict(
    since=dict(epoch=1_700_000_000_000, sequence=41), snapshot=True, heartbeat_ms=5_000, level="warn", rules=["cpu_*", "disk_full"],
    matchers=[dict(label="env", value="prod")], kinds=["firing", "resolved"]))
client("11_monitor_since_time", "From a moment on", id=11, monitor=dict(since_time=T))
server("10_snapshot", "What fires", id=10, more=True, monitor=dict(snapshot=dict(
    position=dict(epoch=1_700_000_000_000, sequence=43),
    alerts=[dict(rule="cpu_high", instance=["host", "a"], level="crit", state="firing", since=T - 1, value=97.5, message="a: load 97.5 (crit)")])))
server("10_event", "", id=10, more=True, monitor=dict(event=dict(
    position=dict(epoch=1_700_000_000_000, sequence=44), at=T + 7, event_id="cpu_high/4f2a/3", kind="closed", rule="cpu_high", instance=["host", "a"],
    level="crit", value=0.0, extreme=99.5, tick=T, fired_at=T - 60_000_000_000, message="a: gone", reason="rule removed", generation=3)))
server("10_gap_known", "", id=10, more=True, monitor=dict(gap=dict(missed=0)))
server("10_gap_unknown", "", id=10, more=True, monitor=dict(gap={}))
server("10_heartbeat", "", id=10, more=True, monitor=dict(heartbeat=dict(time=T + 9, position=dict(epoch=1_700_000_000_000, sequence=44))))
server("10_stopping", "The last one", id=10, monitor=dict(stopping={}))

# ------------------------------------------------------------------------------------------------------ administration

client("12_cancel", "", id=12, cancel=dict(request=11))
client("13_ping", "", id=13, ping={})
server("13_pong", "", id=13, pong=dict(time=T))
client("14_get_info", "", id=14, get_info=dict(figures=True))
server("14_info", "", id=14, info=dict(server="serenod 0.1.0", time=T, started=T - 5, recovering=True, connections=3, series=1_000, generation=2, rules=7, alerts=1,
    figures=[dict(name="wal_bytes", value=1024.0)], v1=True))
client("15_get_storage", "", id=15, get_storage=dict(top=5))
server("15_storage", "", id=15, storage=dict(recovering=True, series=1, head_samples=2, head_bytes=3, wal_files=4, wal_bytes=5,
    levels=[dict(level=1, segments=2, samples=3, bytes=4)], names=[dict(text="cpu.load", series=9)], labels=[dict(text="host", series=9, values=3)]))
client("16_list_rules", "", id=16, list_rules=dict(rules=["cpu_*"]))
server("16_rules", "", id=16, rules=dict(rules=[dict(id="cpu_high", place="rules/cpu.yaml:3", selector='cpu.load{env="prod"}', aggregation="p95",
    window=60_000_000_000, every=10_000_000_000, health="error", error="function `avgg` not found", instances=4, firing=1, evaluations=100, last_tick=T,
    last_duration=1_000, longest_duration=2_000, limit="v >= 95")], generation=2,
    diagnostics=[dict(severity="warning", message="matches no series", path="rules/disk.yaml", line=2, column=5, excerpt="  metric: dsk", hint="did you mean `disk`?")]))
client("17_list_alerts", "", id=17, list_alerts=dict(rules=["*"], level="crit"))
server("17_alerts", "An alert without a value", id=17, alerts=dict(alerts=[dict(rule="batch_late", level="warn", state="firing", since=T)]))
client("18_reload", "", id=18, reload=dict(allow_removal=True))
server("18_reloaded", "", id=18, reloaded=dict(outcome="refused", generation=2, rules=7, diagnostics=[dict(severity="error", message="no such key")], refusal="4 of 7 rules would go"))
client("19_get_busiest", "", id=19, get_busiest=dict(top=1))
server("19_busiest", "", id=19, busiest=dict(metrics=[dict(name="cpu.load", samples_per_second=1500.5, series=10)]))

server("20_error_script", "With a place", id=20, error=dict(code="CODE_SCRIPT", message="the aggregation failed", hint="see the place",
    diagnostics=[dict(severity="error", message="division by zero", path="aggregations/worst.rhai", line=3, column=12, excerpt="  w.sum() / 0")]))
server("21_error_overloaded", "Try again in a quarter of a second", id=21, error=dict(code="CODE_OVERLOADED", message="too many queries", retry_after_ms=250))
server("22_error_connection", "About the whole connection, which then ends", error=dict(code="CODE_MALFORMED", message="a frame holds no message"))

# ---------------------------------------------------------------------------------------------- the tools of rules

FILES = [dict(path="rules/cpu.yaml", text="rules: []"), dict(path="rules/odd.rhai", text="fn check(s) { true }", script=True)]
client("23_show_rule", "", id=23, show_rule=dict(rule="cpu_high"))
client("24_evaluate_rules", "", id=24, evaluate_rules=dict(rules=["cpu_*"], files=FILES, at=T))
client("25_replay_rule", "", id=25, replay_rule=dict(rule="cpu_high", files=FILES, start=T - 60_000_000_000, end=T, against_live=True, instance=["host", "a"]))
client("26_explain_rule", "", id=26, explain_rule=dict(rule="cpu_high", instance=["host", "a"], tick=T, rerun=True))
client("27_plan_rules", "", id=27, plan_rules=dict(files=FILES))
server("27_document", "A report", id=27, document=dict(kind="plan", json='{"schema_version":1}'))
client("28_list_generations", "", id=28, list_generations={})
client("29_diff_generations", "", id=29, diff_generations=dict(a=11, b=12))
client("30_rollback", "", id=30, rollback=dict(generation=11))
server("30_reloaded", "After a rollback", id=30, reloaded=dict(outcome="applied", generation=13, trigger="rollback", duration=5_000_000,
    added=["a"], removed=["b"], changed=["c"], pinned=11, files=[dict(path="rules/cpu.yaml", status="kept")]))
client("31_pause_rule", "", id=31, pause_rule=dict(rule="disk_*", until=T + 1_000_000_000, comment="new disks", who="ana"))
server("31_rules", "A rule that is paused", id=31, rules=dict(rules=[dict(id="cpu_high", health="paused", matched=7, pending=2,
    missed=[dict(reason="behind", ticks=3)], next_tick=T, pause=dict(until=T + 1_000_000_000, comment="new disks", who="ana"),
    operations=1_000, samples=600, mode="live")], pinned=11))
client("32_resume_rule", "", id=32, resume_rule=dict(rule="disk_*"))
client("33_forget_alerts", "", id=33, forget_alerts=dict(selector='silent{host="a"}'))
server("33_alerts", "What was forgotten", id=33, alerts=dict(alerts=[dict(rule="silent", instance=["host", "a"], level="crit", state="recovering", since=T,
    stale=True, flapping=True, suppressed_by="rack_down", previous="warn", episode=4, labels=["team", "web"], runbook="https://wiki/silent",
    peak=99.5, peak_at=T - 1_000_000_000, shadow=True, due=T + 1_000_000_000)]))

# ------------------------------------------------------------------------------------------------- of a later version

later("hello", "A client of version 2.1", "Request", id=1, hello=dict(major=2, minor=1, client="x", **{"+7": b"zone", "+2000": 5}))
later("write", "Fields that are new, in odd places, and an acknowledgement that is", "Request", **{"+16": b"deadline"}, id=2, write={
    "+10": 1, "series": [{"name": "m", "+4": b"unit", "ref": 5}], "ack": 9, "values": [1.0], "+900": b"codec", "refs": [5]})
later("query", "Kinds that are new", "Request", id=3, query=dict(selector="m", matchers=[dict(label="a", kind=7, value="b")], alignment=8, grouping=9, **{"+30": 1}))
later("request", "A request that is new", "Request", id=4, **{"+40": b"\x08\x01"})
later("welcome", "A server of version 2.1", "Response", id=1, welcome=dict(major=2, minor=1, limits={"write_bytes_max": 100, "+20": 1}, **{"+9": b"nonce"}))
later("written", "A reason that is new", "Response", id=2, written=dict(rejected=[dict(reason=77, retry=True, spans=[0, 1], **{"+5": b"detail"})], **{"+6": 1}))
later("error", "A code that is new", "Response", id=3, error=dict(code=99, message="m", **{"+8": b"x"}))
later("response", "An answer that is new", "Response", id=4, more=True, **{"+60": b"\x08\x01"})
later("monitor_part", "News that are new", "Response", id=5, more=True, monitor={"+9": b"\x08\x01"})
later("event", "An event with more to it", "Response", id=5, more=True, monitor=dict(event=dict(kind="acknowledged", rule="r", **{"+15": b"by", "+16": 3})))
