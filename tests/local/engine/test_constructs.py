"""What the compiler can express: one small pipeline for each construct, and the output that it must have."""

import json
from typing import Dict, List, NamedTuple, Optional  # noqa: UP035 - what kfp 2.17 reads

import pytest
from kfp import components, dsl
from kfp.dsl import Dataset, Input, Model, Output, OutputPath

from .conftest import PROJECT

# ruff: noqa: UP006, UP014, UP045, B006, SIM117, SIM300 - as pipelines are written


@dsl.component
def text(x: str) -> str:
    return x


@dsl.component
def number(x: int) -> int:
    return x


@dsl.component
def dump(x: list) -> str:
    import json

    return json.dumps(x)


@dsl.component
def constants() -> NamedTuple(
    "O", [("flag", bool), ("rate", float), ("numbers", list), ("names", List[str])]
):
    from collections import namedtuple

    return namedtuple("O", "flag rate numbers names")(True, 2.5, [1, 2, 3], ["p", "q"])


@dsl.component
def pairs() -> List[Dict[str, int]]:
    return [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


@dsl.component
def sentence(first: str, second: str, third: str = "-") -> str:
    return f"{first} {second} {third}"


@dsl.component
def write(x: str, data: Output[Dataset], y: str = ""):
    with open(data.path, "w") as file:
        file.write(x + y)
    data.metadata["x"] = x


@dsl.component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.component
def join(data: Input[List[Dataset]]) -> str:
    return ",".join(open(item.path).read() for item in data)


@dsl.pipeline
def f_strings(n: int = 7, b: bool = True, f: float = 3.0, items: list = [1, 2], d: dict = {"a": 1}) -> str:
    made = constants().outputs
    return text(
        x=f"{number(x=n).output} > 5! {n} {b} {f} {items} {d} {made['flag']} {made['rate']} {made['numbers']}"
    ).output


@dsl.pipeline
def nested_loops(
    prefix: str = "p", outer: list = [{"a": 1, "b": ["10", "20"]}, {"a": 2, "b": ["30"]}]
) -> list:
    with dsl.ParallelFor(outer) as item:
        number(x=item.a)
        with dsl.ParallelFor(item.b) as inner:
            one = sentence(first=prefix, second=inner)
            with dsl.ParallelFor(["x", "y"]) as letter:
                two = sentence(first=one.output, second=letter, third=prefix)
    return dsl.Collected(two.output)


@dsl.pipeline
def dynamic_loops() -> str:
    with dsl.ParallelFor(constants().outputs["names"]) as name:
        letters = text(x=name)
    with dsl.ParallelFor(pairs().output, parallelism=1) as pair:
        firsts = number(x=pair.a)
        with dsl.If(pair.b > 2):
            large = number(x=pair.b)
    return sentence(
        first=dump(x=dsl.Collected(letters.output)).output,
        second=dump(x=dsl.Collected(firsts.output)).output,
        third=dump(x=dsl.Collected(large.output)).output,
    ).output


@dsl.pipeline
def collected_from_nested_loops() -> str:
    with dsl.ParallelFor(["a", "b"]) as letter:
        with dsl.ParallelFor(["1", "2"]) as digit:
            made = write(x=letter, y=digit)
    return join(data=dsl.Collected(made.outputs["data"])).output


@dsl.pipeline
def collected_with_gaps() -> str:
    with dsl.ParallelFor([1, 2, 3]) as item:
        with dsl.If(item > 1):
            made = write(x=f"{item}")
            said = text(x=f"{item}")
    joined = join(data=dsl.Collected(made.outputs["data"]))
    return sentence(first=joined.output, second=dump(x=dsl.Collected(said.output)).output).output


@dsl.pipeline
def all_of(names: list) -> NamedTuple("O", [("texts", List[str]), ("data", List[Dataset])]):
    with dsl.ParallelFor(names) as name:
        said = text(x=name)
        made = write(x=said.output)
    outputs = NamedTuple("O", [("texts", List[str]), ("data", List[Dataset])])
    return outputs(dsl.Collected(said.output), dsl.Collected(made.outputs["data"]))


@dsl.pipeline
def lists_between_pipelines() -> str:
    made = all_of(names=["a", "b"])
    with dsl.ParallelFor(made.outputs["data"]) as one:
        contents = read(data=one)
    return sentence(
        first=dump(x=made.outputs["texts"]).output,
        second=join(data=made.outputs["data"]).output,
        third=dump(x=dsl.Collected(contents.output)).output,
    ).output


@dsl.component
def made_in_python(x: str) -> NamedTuple("O", [("data", Dataset), ("model", Model), ("count", int)]):
    data = Dataset(uri=dsl.get_uri("data"), metadata={"k": x})
    model = Model(uri=dsl.get_uri("model"))
    for artifact in (data, model):
        with open(artifact.path, "w") as file:
            file.write(x)
    return NamedTuple("O", [("data", Dataset), ("model", Model), ("count", int)])(data, model, 3)


@dsl.component
def taken_in_python(data: Dataset, model: Model) -> str:
    return open(data.path).read() + open(model.path).read() + data.metadata["k"]


@dsl.pipeline
def only_artifacts(data: Input[Dataset], model: Input[Model]) -> str:
    return taken_in_python(data=data, model=model).output


@dsl.pipeline
def pythonic_artifacts() -> str:
    made = made_in_python(x="m")
    inner = only_artifacts(data=made.outputs["data"], model=made.outputs["model"])
    return sentence(first=inner.output, second=f"{made.outputs['count']}").output


@dsl.component
def optional(
    a: Optional[str] = None, n: Optional[int] = None, items: Optional[list] = None, s: str = "s"
) -> str:
    return str([a, n, items, s])


@dsl.component
def optional_artifact(data: Optional[Input[Dataset]] = None) -> str:
    return "none" if data is None else open(data.path).read()


@dsl.pipeline
def optional_inputs(a: Optional[str] = None, data: Optional[Input[Dataset]] = None, s: str = "inner") -> str:
    values = optional(a=a, n=3, s=s).output
    return sentence(first=values, second=optional_artifact(data=data).output).output


@dsl.pipeline
def unset_inputs(a: Optional[str] = None) -> str:
    empty = optional_inputs()
    full = optional_inputs(a=a, data=write(x="D").outputs["data"])
    return sentence(first=empty.output, second=full.output).output


@dsl.pipeline
def chosen(x: str) -> Dataset:
    with dsl.If(x == "a"):
        first = write(x="A")
    with dsl.Elif(x == "b"):
        second = write(x="B")
    with dsl.Else():
        third = write(x="C")
    return dsl.OneOf(first.outputs["data"], second.outputs["data"], third.outputs["data"])


@dsl.pipeline
def chosen_artifacts() -> str:
    return sentence(
        first=read(data=chosen(x="a").output).output,
        second=read(data=chosen(x="b").output).output,
        third=read(data=chosen(x="else").output).output,
    ).output


@dsl.pipeline
def chosen_in_chosen(limit: float = 1.0) -> str:
    made = constants()
    with dsl.If(made.outputs["flag"] == False):  # noqa: E712
        one = number(x=1)
    with dsl.Else():
        with dsl.If(made.outputs["rate"] > limit):
            two = number(x=2)
        with dsl.Else():
            three = number(x=3)
        inner = number(x=dsl.OneOf(two.output, three.output))
    return dump(x=[number(x=dsl.OneOf(one.output, inner.output)).output]).output


@dsl.component
def custom_path(data: Output[Dataset]):
    from pathlib import Path

    data.set_path(str(Path.cwd() / "mine.txt"))
    with open(data.path, "w") as file:
        file.write("custom")


@dsl.pipeline
def artifact_at_a_custom_path() -> str:
    return read(data=custom_path().outputs["data"]).output


V1_WRITE = components.load_component_from_text("""
name: Write
inputs: [{name: text, type: String}, {name: flag, type: Integer, default: '3'},
         {name: maybe, type: String, optional: true}]
outputs: [{name: out path, type: String}, {name: data, type: Dataset}]
implementation:
  container:
    image: alpine
    command: [sh, -c, 'printf "%s" "$0" > "$1"; shift; echo "$@" > "$1"']
    args: [{inputValue: text}, {outputPath: out path}, {outputPath: data},
           {if: {cond: {isPresent: maybe}, then: [--maybe, {inputValue: maybe}], else: [--none]}},
           {concat: ['--flag=', {inputValue: flag}]}]
""")
V1_READ = components.load_component_from_text("""
name: Read
inputs: [{name: data, type: Dataset}]
outputs: [{name: text, type: String}, {name: n, type: Integer}, {name: b, type: Boolean},
          {name: f, type: Float}, {name: l, type: JsonArray}]
implementation:
  container:
    image: library/bash:4.4.23
    command: [bash, -ec, 'cut -d" " -f2- < "$0" > "$1"; echo 7 > "$2"; echo True > "$3"; echo 2.50 > "$4";
              echo "[1, 2.0, {}]" > "$5"', {inputPath: data}, {outputPath: text}, {outputPath: n},
              {outputPath: b}, {outputPath: f}, {outputPath: l}]
""")


@dsl.component
def typed(n: int, b: bool, f: float, l: list) -> str:  # noqa: E741
    return str([n, b, f, l])


@dsl.container_component
def container(x: str, data: Input[Dataset], out: OutputPath(str), y: Optional[str] = None):
    return dsl.ContainerSpec(
        image="acme/tools:1",
        command=["sh", "-c", 'cat "$0" > "$1"; out="$1"; shift; printf " %s" "$@" >> "$out"'],
        args=[
            *(data.path, out),
            dsl.ConcatPlaceholder(["--x=", x, " x=", data.metadata["x"]]),
            dsl.IfPresentPlaceholder(input_name="y", then=["-y", y], else_=["-n", "none"]),
            f"--both={x}/{x}",
            f"y={y}",
        ],
    )


@dsl.pipeline
def containers() -> str:
    first = V1_WRITE(text="hi there")
    second = V1_READ(data=first.outputs["data"])
    values = typed(**{name: second.outputs[name] for name in ("n", "b", "f", "l")})
    third = container(x="X Y", data=write(x="made").outputs["data"])
    said = sentence(first=first.outputs["out_path"], second=second.outputs["text"], third=values.output)
    return sentence(first=said.output, second=third.outputs["out"]).output


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        (f_strings, '7 > 5! 7 true 3 [1, 2] {"a": 1} true 2.5 [1, 2, 3]'),
        (
            nested_loops,
            [
                [["p 10 - x p", "p 10 - y p"], ["p 20 - x p", "p 20 - y p"]],
                [["p 30 - x p", "p 30 - y p"]],
            ],
        ),
        (dynamic_loops, '["p", "q"] [1, 3] [4]'),
        (collected_from_nested_loops, "a1,a2,b1,b2"),
        (collected_with_gaps, '2,3 ["2", "3"] -'),
        (lists_between_pipelines, '["a", "b"] a,b ["a", "b"]'),
        (pythonic_artifacts, "mmm 3 -"),
        (
            unset_inputs,
            "[None, 3, None, 'inner'] none - [None, 3, None, 'inner'] D - -",
        ),
        (chosen_artifacts, "A B C"),
        (chosen_in_chosen, '["2"]'),
        (artifact_at_a_custom_path, "custom"),
        (
            containers,
            "hi there --none --flag=3\n [7, True, 2.5, [1, 2, {}]]"
            " made --x=X Y x=made -n none --both=X Y/X Y y= -",
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_construct_gives_what_it_must(rooms, pipeline, expected):
    ended = rooms.run(pipeline, pipeline.name)
    assert ended.state == "SUCCEEDED", ended
    assert ended.outputs == {"Output": expected}


@dsl.pipeline
def fields_of_items(items: list = [{"key": "a", "size": 1}, {"key": "b", "size": 2}]) -> str:
    with dsl.ParallelFor([{"key": "A", "size": 1}, {"key": "B", "size": 2}]) as item:
        with dsl.If(item.size != 0):
            with dsl.If(item.key != "none"):
                of_constants = text(x=f"{item.key}{item.size}")
    with dsl.ExitHandler(text(x="at exit")):
        with dsl.ParallelFor(items) as item:
            with dsl.If(item.key != "none"):
                write(x=f"{item.key}{item.size}")
    with dsl.ParallelFor(["a", "b"]) as first:
        with dsl.ParallelFor([{"key": 1}, {"key": 2}]) as second:
            with dsl.ParallelFor(["x"]) as third:
                innermost = text(x=f"{first}{second.key}{third}")
    return sentence(
        first=dump(x=dsl.Collected(of_constants.output)).output,
        second=dump(x=dsl.Collected(innermost.output)).output,
    ).output


def test_items_and_fields_that_the_compiler_loses_between_groups_are_found(rooms):
    ended = rooms.run(fields_of_items, "fields-of-items")
    assert ended.state == "SUCCEEDED", ended
    assert ended.outputs == {"Output": '["A1", "B2"] [[["a1x"], ["a2x"]], [["b1x"], ["b2x"]]] -'}
    written = [task["inputs"]["parameters"]["x"] for path, task in ended.tasks.items() if "write" in path]
    assert sorted(written) == ["a1", "b2"]


@dsl.pipeline
def conditions(i: int = 3, f: float = 3.0, s: str = "a'b", b: bool = False):
    for holds in (i == 3, i == f, f >= i, i == 3.0, s != "x", b == False):  # noqa: E712
        with dsl.If(holds):
            text(x="this")
    for holds in ("a" == s, number(x=i).output != i, b == True, f < 3):  # noqa: E712
        with dsl.If(holds):
            text(x="not this")


def test_conditions_compare_values_of_all_types(rooms):
    ended = rooms.run(conditions, "conditions")
    assert ended.state == "SUCCEEDED", ended
    found = [ended.states[f"condition-{number}"] for number in range(1, 11)]
    assert found == ["SUCCEEDED"] * 6 + ["NOT_TRIGGERED"] * 4


@dsl.component
def fails() -> str:
    raise ValueError("no")


@dsl.component
def or_else(x: str = "its default") -> str:
    return x


@dsl.pipeline
def missing_input() -> str:
    return or_else(x=fails().output).ignore_upstream_failure().output


def test_an_input_that_its_producer_did_not_give_is_the_components_default(rooms):
    ended = rooms.run(missing_input, "missing-input")
    assert ended.outputs == {"Output": "its default"}
    assert ended.error.startswith("task 'fails' failed with exit code 1: ValueError: no")


@dsl.component
def note(status: dict, path: str) -> str:
    import json

    with open(path, "w") as file:
        json.dump(status, file)
    return status["state"]


@dsl.pipeline
def at_exit(status: dsl.PipelineTaskFinalStatus, path: str):
    with dsl.If(note(status=status, path=path).output == "FAILED"):
        text(x="it failed")


@dsl.pipeline
def exits(path: str, fail: bool):
    with dsl.ExitHandler(at_exit(path=path)):
        with dsl.ParallelFor(["1", "2"]) as item:
            text(x=f"{item}")
        with dsl.If(fail == True):  # noqa: E712
            fails()


@pytest.mark.parametrize(
    ("dialect", "fail", "state", "error", "name"),
    [
        ("vertex", False, "SUCCEEDED", None, f"{PROJECT}/pipelineJobs/exit-vertex"),
        (
            "vertex",
            True,
            "FAILED",
            "task 'exit-handler-1/condition-4/fails' failed",
            f"{PROJECT}/pipelineJobs",
        ),
        ("kfp", False, "COMPLETE", None, "exits-"),
        ("kfp", True, "FAILED", None, "exits-"),
    ],
)
def test_a_pipeline_at_exit_hears_how_a_group_ended(rooms, tmp_path, dialect, fail, state, error, name):
    ended = rooms.run(
        exits,
        f"exit-{dialect}-{state.lower()}",
        parameters={"path": str(tmp_path / "status"), "fail": fail},
        labels={"trainwright-dialect": dialect},
    )
    assert ended.state == ("FAILED" if fail else "SUCCEEDED")
    assert ended.states["at-exit/condition-1"] == ("SUCCEEDED" if fail else "NOT_TRIGGERED")
    status = json.loads((tmp_path / "status").read_text())
    assert (status["state"], status["pipelineTaskName"]) == (state, "exit-handler-1")
    assert status["pipelineJobResourceName"].startswith(name)
    assert status["error"].get("message", "").startswith(error or "")
    assert bool(status["error"]) is bool(error)
