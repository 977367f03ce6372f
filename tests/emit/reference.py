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
    Workflow,
)

# Where the emitted folder stands; Pegasus replaces the variable in the text of every file before it parses it.
VARIABLE = "${PEGASUS_FEDWING_DIR}"
ROOT = "/anywhere"
DROPPED = (".shard.safetensors", ".update.safetensors")
PROGRAMS = {
    "fl-client": ["prepare", "profile", "stats", "init", "train", "evaluate", "baseline", "keys", "reveal"],
    "fl-aggregator": ["aggregate", "partial"],
}


def job(spec, retries):
    made = Job(spec["kind"], _id=spec["id"], namespace="fedwing").add_args(*spec["argv"])
    made.add_inputs(*spec["inputs"])
    for name in spec["outputs"]:
        made.add_outputs(name, stage_out=not name.endswith(DROPPED), register_replica=False)
    for name in spec["checkpoints"]:
        made.add_checkpoint(name, stage_out=False, register_replica=False)
        made.add_pegasus_profile(checkpoint_time=max(1, spec["walltime_s"] * 9 // 10 // 60))
    made.add_pegasus_profile(cores=spec["cpus"], memory=f"{spec['memory_mb']} MB")
    made.add_profiles(Namespace.PEGASUS, key="maxwalltime", value=-(-spec["walltime_s"] // 60))
    if spec["gpus"]:
        made.add_pegasus_profile(gpus=spec["gpus"])
    made.add_dagman_profile(retry=retries)
    if spec["kind"] in ("prepare", "stats"):
        made.add_selector_profile(execution_site="local")
    else:
        made.add_profiles(Namespace.CONDOR, key="allowed_execute_duration", value=spec["walltime_s"])
    for key in ("dataset", "round", "client"):
        if spec[key] is not None:
            made.add_metadata({key: spec[key]})
    return made


def reads(specs):
    return {name for spec in specs for name in spec["inputs"]}


def writes(specs):
    return {name for spec in specs for name in spec["outputs"]}


def sub_workflows(description):
    """The jobs of each round by dataset and round; no rounds in the flat layout."""
    rounds = {}
    if description["layout"] == "rounds":
        for spec in description["jobs"]:
            if spec["round"]:
                rounds.setdefault((spec["dataset"], spec["round"]), []).append(spec)
    return rounds


def build(description, folder):
    """Writes every file into `folder`, laid out as the emitted one."""
    name, site, retries = description["name"], description["compute_site"], description["retries"]
    main = Workflow(name)
    replicas = ReplicaCatalog()
    for file in description["statics"]:
        replicas.add_replica("local", file, f"{ROOT}/inputs/{file}")
    if description["weights"]:
        replicas.add_replica("local", description["weights"]["name"], description["weights"]["path"])
    rounds = sub_workflows(description)
    inside = [spec for specs in rounds.values() for spec in specs]
    (folder / "rounds").mkdir()
    for (dataset, number), specs in rounds.items():
        others = [spec for spec in description["jobs"] if spec not in specs]
        inner = Workflow(f"{name}-{dataset}-r{number:04}").add_jobs(*[job(spec, retries) for spec in specs])
        file = f"{name}.{dataset}.r{number:04}.workflow.yml"
        inner.write(str(folder / "rounds" / file))
        replicas.add_replica("local", file, f"{ROOT}/rounds/{file}")
        outer = SubWorkflow(File(file), _id=f"round-{dataset}-r{number:04}")
        outer.add_planner_args(sites=[site], output_sites=["local"], cleanup="inplace")
        outer.add_inputs(*sorted(reads(specs) - writes(specs)))
        outer.add_outputs(*sorted(writes(specs) & reads(others)), stage_out=True, register_replica=False)
        outer.add_metadata(dataset=dataset, round=number)
        main.add_jobs(outer)
    main.add_jobs(*[job(spec, retries) for spec in description["jobs"] if spec not in inside])
    main.write(str(folder / "workflow.yml"))
    replicas.write(str(folder / "replicas.yml"))

    transformations = TransformationCatalog()
    for program, kinds in PROGRAMS.items():
        for kind in kinds:
            path = f"{ROOT}/bin/{program}"
            entry = Transformation(kind, namespace="fedwing", site="local", pfn=path, is_stageable=True)
            transformations.add_transformations(entry)
    transformations.write(str(folder / "transformations.yml"))

    def directory(kind, path):
        return Directory(kind, path).add_file_servers(FileServer(f"file://{path}", Operation.ALL))

    local = Site("local").add_directories(
        directory(Directory.SHARED_SCRATCH, f"{ROOT}/scratch"),
        directory(Directory.LOCAL_STORAGE, f"{ROOT}/outputs"),
    )
    pool = Site(site).add_pegasus_profile(style="condor")
    pool.add_condor_profile(universe="vanilla")
    pool.add_condor_profile(periodic_remove="(JobStatus == 5) && ((time() - EnteredCurrentStatus) > 60)")
    SiteCatalog().add_sites(local, pool).write(str(folder / "sites.yml"))


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
