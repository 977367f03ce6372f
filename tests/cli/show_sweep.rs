//! The review of a sweep: each point as it would be reviewed by itself, and what they come to together.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tests::{data_or_skip, fedwing};

use crate::{code, example, folder_with, stderr, stdout};

fn json_of(arguments: &[&str]) -> Value {
    let output = fedwing(arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("JSON")
}

/// An example with a sweep.
fn swept(name: &str, grid: &str) -> String {
    let text = fs::read_to_string(example(name)).expect("an example");
    format!("{text}\nsweep:\n  grid:\n{grid}")
}

/// A field of every element of a list.
fn each<'a>(list: &'a Value, field: &'a str) -> impl Iterator<Item = &'a Value> {
    let all = list.as_array().expect("a list").iter();
    all.map(move |one| &one[field])
}

fn sum<'a>(numbers: impl Iterator<Item = &'a Value>) -> u64 {
    numbers.map(|number| number.as_u64().expect("a count")).sum()
}

#[test]
fn the_example_is_ready_for_review() {
    let output = fedwing([
        "show",
        &example("sweep.yml"),
        "--pool",
        &example("pools/laptop.yml"),
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    insta::assert_snapshot!("show_sweep", stdout(&output));
}

#[test]
fn a_point_is_told_of_as_it_is_by_itself() {
    let (folder, spec) = folder_with(&swept(
        "quickstart.yml",
        "    datasets.chest.clients: [{count: 2, by: iid}, {count: 5, by: iid}]\n    execution.layout: [flat, rounds, {chunks: 2}]\n",
    ));
    let pool = example("pools/laptop.yml");
    let sweep = json_of(&["show", &spec, "--pool", &pool, "--json"]);
    assert_eq!(sweep["fedwing_sweep_review"], 1);
    assert_eq!(sweep["synthetic"], true);
    let points = sweep["points"].as_array().expect("points");
    assert_eq!(points.len(), 6);
    let mut questions = BTreeSet::new();
    for point in points {
        let name = point["name"].as_str().expect("a name");
        let alone = folder.path().join(format!("{name}.yml")).display().to_string();
        let printed = fedwing(["points", &spec, "--point", name]);
        fs::write(&alone, printed.stdout).expect("a specification");
        let review = json_of(&["show", &alone, "--pool", &pool, "--json"]);

        let layout = &review["layouts"][0];
        assert_eq!(layout["chosen"], true);
        let traffic: Vec<Value> = review["traffic"]
            .as_array()
            .expect("workflow systems")
            .iter()
            .map(|one| {
                let whole = &one["whole"];
                json!({"target": one["target"], "received": whole["received"], "sent": whole["sent"]})
            })
            .collect();
        let makespans = review["makespans"].as_array().expect("makespans").iter();
        let makespans: Vec<_> = makespans
            .filter(|one| one["layout"] == layout["layout"])
            .cloned()
            .collect();
        assert_eq!(makespans.len(), 2);
        let expected = json!({
            "name": review["experiment"],
            "values": point["values"],
            "clients": review["datasets"][0]["clients"].as_array().expect("clients").len(),
            "rounds": review["rounds"],
            "layout": layout["layout"],
            "sub_workflows": layout["sub_workflows"],
            "jobs": sum(each(&review["jobs"], "jobs")),
            "on_submit_host": sum(each(&review["jobs"], "on_submit_host")),
            "files": sum(each(&review["files"], "files")),
            "bytes": sum(each(&review["files"], "bytes")),
            "traffic": traffic,
            "makespans": makespans,
        });
        assert_eq!(point, &expected);
        for question in review["open_questions"].as_array().expect("questions") {
            questions.insert((question["question"].to_string(), name.to_owned()));
        }
    }
    let noted = sweep["open_questions"].as_array().expect("questions").iter();
    let noted: BTreeSet<_> = noted
        .flat_map(|noted| {
            let names = noted["points"].as_array().expect("names").iter();
            names.map(|name| {
                let name = name.as_str().expect("a name").to_owned();
                (noted["what"]["question"].to_string(), name)
            })
        })
        .collect();
    assert_eq!(noted, questions);
    let values = |point: &Value| (point["values"][0].clone(), point["values"][1].clone());
    assert_eq!(
        values(&points[5]),
        (json!("{count: 5, by: iid}"), json!("{chunks: 2}"))
    );
}

#[test]
fn a_picture_is_of_one_point() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for flag in ["--svg", "--dot"] {
        let file = folder.path().join("graph").display().to_string();
        let output = fedwing(["show", &example("sweep.yml"), flag, &file]);
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""));
        assert!(
            stderr(&output).contains("fedwing points") && stderr(&output).contains("sweep of 12 points"),
            "{}",
            stderr(&output)
        );
        assert!(!Path::new(&file).exists());
    }
}

#[test]
fn every_point_knows_what_was_looked_at() {
    let Some(data) = data_or_skip("every_point_knows_what_was_looked_at") else {
        return;
    };
    let text = swept("nih1000.yml", "    seed: [1, 2, 3]\n");
    let (_folder, spec) = folder_with(&text.replace("../../shared/data", &data.display().to_string()));
    let assumed = json_of(&["show", &spec, "--json"]);
    let looked = json_of(&["show", &spec, "--look", "--json"]);
    let bytes = |review: &Value| each(&review["points"], "bytes").cloned().collect::<Vec<_>>();
    assert_eq!(bytes(&looked).len(), 3);
    assert_ne!(bytes(&looked), bytes(&assumed));
    let assumes_images = |review: &Value| {
        let what = each(&review["assumptions"], "what").map(ToString::to_string);
        what.filter(|what| what.contains("10,000") || what.contains("10000"))
            .count()
    };
    assert_eq!((assumes_images(&assumed), assumes_images(&looked)), (1, 0));
}
