"""Builds an experiment with the official Python API of Pegasus, from what its jobs are.

Usage: reference.py DESCRIPTION OURS OUTPUT

DESCRIPTION is JSON: the jobs with ids, arguments, files and requests, and how they are laid out. What Pegasus makes of
them (flags, dependencies, sub-workflows, catalogs) is decided here and by the API, without a look at OURS, the folder
fedwing wrote. OUTPUT becomes JSON with both, file by file, each read by the API's own YAML loader.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from Pegasus import yaml
from Pegasus.api import (
    Directory,
    File,
    FileServer,
    Job,
    Namespace,
    Operation,
    ReplicaCatalog,
    Site,
    SiteCatalog,
    SubWorkflow,
    Transformation,
    TransformationCatalog,
    TransformationSite,
    Workflow,
)

# Where the emitted folder stands; Pegasus replaces the variable in the text of every file before it parses it.
VARIABLE = "${PEGASUS_FEDWING_DIR}"
ROOT = "/anywhere"
DROPPED = (".shard.safetensors", ".update.safetensors")
HELD = "(JobStatus == 5) && (HoldReasonCode =!= 1) && ((time() - EnteredCurrentStatus) > 60)"
PROGRAMS = {
    "fl-client": ["prepare", "stats", "init", "train", "train-clients", "evaluate", "baseline", "keys", "reveal"],
    "fl-aggregator": ["aggregate", "partial", "broadcast"],
}


def job(spec, description, arriving):
    """A job; `arriving` are the files on the submit host that no job of its workflow writes."""
    # A copy of the program that a site keeps is a version of the transformation: the dataset's.
    version = spec["dataset"] if spec["program"] else None
    made = Job(spec["kind"], _id=spec["id"], namespace="fedwing", version=version).add_args(*spec["argv"])
    for name in spec["inputs"]:
        made.add_inputs(name, bypass_staging=name in arriving and not spec["here"])
    for name in spec["outputs"]:
        made.add_outputs(name, stage_out=not name.endswith(DROPPED), register_replica=False)
    for name in spec["checkpoints"]:
        made.add_checkpoint(name, stage_out=False, register_replica=False)
        made.add_pegasus_profile(checkpoint_time=max(1, spec["walltime_s"] * 9 // 10 // 60))
    made.add_pegasus_profile(cores=spec["cpus"])
    made.add_profiles(Namespace.PEGASUS, key="maxwalltime", value=-(-spec["walltime_s"] // 60))
    if spec["gpus"]:
        made.add_pegasus_profile(gpus=spec["gpus"])
    made.add_dagman_profile(retry=description["retries"])
    memory = spec["memory_mb"]
    if spec["here"]:
        made.add_selector_profile(execution_site="local")
        made.add_pegasus_profile(memory=f"{memory} MB")
    else:
        made.add_profiles(Namespace.CONDOR, key="allowed_execute_duration", value=spec["walltime_s"])
        grown = f"ifthenelse(isundefined(DAGNodeRetry), {memory}, {memory} * (DAGNodeRetry + 1))"
        # The API's own argument takes numbers alone; HTCondor takes an expression.
        made.add_profiles(Namespace.CONDOR, key="request_memory", value=grown)
        if description["sites"]:
            made.add_selector_profile(execution_site=spec["site"] or description["compute_site"])
    attributes = {
        "Algorithm": f'"{description["algorithm"]}"',
        "Client": spec["client"],
        "Dataset": f'"{spec["dataset"]}"',
        "JobType": f'"{spec["kind"]}"',
        "NumRounds": description["rounds"],
        "Round": spec["round"],
    }
    for key, value in attributes.items():
        if value is not None:
            made.add_profiles(Namespace.CONDOR, key=f"+FL_{key}", value=str(value))
    for key in ("dataset", "round", "client"):
        if spec[key] is not None:
            made.add_metadata({key: spec[key]})
    return made


def workflow(name, description):
    keys = ("algorithm", "rounds", "spec_digest")
    known = {key: description[key] for key in keys}
    synthetic = "true" if description["synthetic"] else "false"
    return Workflow(name).add_metadata(experiment=description["name"], synthetic=synthetic, **known)


def reads(specs):
    return {name for spec in specs for name in spec["inputs"]}


def writes(specs):
    return {name for spec in specs for name in spec["outputs"]}


def sub_workflows(description):
    """The jobs of rounds that stand together, by dataset, first and last round; nothing in the flat layout."""
    rounds, together, last = {}, description["rounds_together"], description["rounds"]
    for spec in description["jobs"]:
        if together and spec["round"]:
            first = (spec["round"] - 1) // together * together + 1
            key = (spec["dataset"], first, min(first + together - 1, last))
            rounds.setdefault(key, []).append(spec)
    return rounds


def depend(flow, entries, description):
    """Adds the dependencies that no moved file tells of: those on files that are kept at a site."""
    of = {spec["id"]: entry for entry, specs in entries for spec in specs}
    for parent, child in description["dependencies"]:
        ends = of.get(parent), of.get(child)
        if None not in ends and ends[0] is not ends[1]:
            have = flow.dependencies.get(ends[0]._id)
            if have is None or ends[1]._id not in have.children_ids:
                flow.add_dependency(ends[0], children=[ends[1]])


def build(description, folder):
    """Writes every file into `folder`, laid out as the emitted one."""
    name, site = description["name"], description["compute_site"]
    sites = [site] + [other["name"] for other in description["sites"]]
    main = workflow(name, description)
    replicas = ReplicaCatalog()
    for file in description["statics"]:
        replicas.add_replica("local", file, f"{ROOT}/inputs/{file}")
    if description["weights"]:
        replicas.add_replica("local", description["weights"]["name"], description["weights"]["path"])
    rounds = sub_workflows(description)
    inside = [spec for specs in rounds.values() for spec in specs]
    (folder / "rounds").mkdir()
    main_entries = []
    for (dataset, first, last), specs in rounds.items():
        others = [spec for spec in description["jobs"] if spec not in specs]
        numbers = f"r{first:04}" if first == last else f"r{first:04}-r{last:04}"
        arriving = reads(specs) - writes(specs)
        entries = [(job(spec, description, arriving), [spec]) for spec in specs]
        inner = workflow(f"{name}-{dataset}-{numbers}", description).add_jobs(*[made for made, _ in entries])
        inner._infer_dependencies()
        depend(inner, entries, description)
        file = f"{name}.{dataset}.{numbers}.workflow.yml"
        inner.write(str(folder / "rounds" / file))
        replicas.add_replica("local", file, f"{ROOT}/rounds/{file}")
        outer = SubWorkflow(File(file), _id=f"round-{dataset}-{numbers}")
        outer.add_planner_args(sites=sites, output_sites=["local"], cleanup="inplace")
        outer.add_inputs(*sorted(arriving))
        outer.add_outputs(*sorted(writes(specs) & reads(others)), stage_out=True, register_replica=False)
        outer.add_metadata(dataset=dataset, round=first)
        if first != last:
            outer.add_metadata(last_round=last)
        main.add_jobs(outer)
        main_entries.append((outer, specs))
    # Under their own names only can files go to jobs as they lie there.
    main_entries += [
        (job(spec, description, set(description["statics"])), [spec])
        for spec in description["jobs"]
        if spec not in inside
    ]
    main.add_jobs(*[made for made, _ in main_entries if not isinstance(made, SubWorkflow)])
    main._infer_dependencies()
    depend(main, main_entries, description)
    main.write(str(folder / "workflow.yml"))
    replicas.write(str(folder / "replicas.yml"))

    transformations = TransformationCatalog()
    for program, kinds in PROGRAMS.items():
        for kind in kinds:
            path = f"{ROOT}/bin/{program}"
            entry = Transformation(kind, namespace="fedwing", site="local", pfn=path, is_stageable=True)
            transformations.add_transformations(entry)
    kept = {}
    for spec in description["jobs"]:
        if spec["program"]:
            kept.setdefault((spec["kind"], spec["dataset"]), {})[spec["site"]] = spec["program"]
    for (kind, dataset), places in sorted(kept.items()):
        entry = Transformation(kind, namespace="fedwing", version=dataset)
        for where, path in sorted(places.items()):
            entry.add_sites(TransformationSite(where, path, is_stageable=False))
        transformations.add_transformations(entry)
    transformations.write(str(folder / "transformations.yml"))

    def directory(kind, path):
        return Directory(kind, path).add_file_servers(FileServer(f"file://{path}", Operation.ALL))

    local = Site("local").add_directories(
        directory(Directory.SHARED_SCRATCH, f"{ROOT}/scratch"),
        directory(Directory.LOCAL_STORAGE, f"{ROOT}/outputs"),
    )
    def pool(name, requirements=None):
        made = Site(name).add_pegasus_profile(style="condor")
        made.add_condor_profile(universe="vanilla", periodic_remove=HELD)
        if requirements:
            made.add_condor_profile(requirements=requirements)
        return made

    others = [pool(other["name"], other["requirements"]) for other in description["sites"]]
    SiteCatalog().add_sites(local, pool(site), *others).write(str(folder / "sites.yml"))


def load(folder):
    """Every YAML file under `folder`, expanded as Pegasus does and read by the API's loader."""
    files = {}
    for path in sorted(Path(folder).rglob("*.yml")):
        text = path.read_text(encoding="utf-8").replace(VARIABLE, ROOT)
        files[str(path.relative_to(folder))] = yaml.loads(text)
    return files


def main():
    description, ours, output = sys.argv[1:]
    description = json.loads(Path(description).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        # The API asks for a user name, which a bare container lacks.
        os.environ.setdefault("USER", "reference")
        build(description, Path(folder))
        result = {"reference": load(folder), "ours": load(ours)}
    Path(output).write_text(json.dumps(result), encoding="utf-8")


main()
