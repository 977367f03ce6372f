//! Any DAG with any node log and any output of DAGMan, told apart by lines `===`: every node has a state at every moment, one
//! that follows from the others', and nothing is counted that is not there.
#![no_main]

use fedwing::evidence::{NodeState, Nodes, dag_file, dagman_out, event_log};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("===\n");
    let mut next = || parts.next().unwrap_or("");
    let mut dag = dag_file::parse(next());
    dag.tie();
    for edge in &dag.edges {
        assert!(edge.parents.iter().chain(&edge.children).all(|node| *node < dag.nodes.len()));
    }
    let mut nodes = Nodes::new(dag);
    for event in event_log::parse(next().as_bytes()).events {
        nodes.on_event(&event);
        check(&nodes);
    }
    for line in dagman_out::Reader::default().push(next().as_bytes()).0 {
        nodes.on_line(&line);
        check(&nodes);
    }
    nodes.mark_done(&dag_file::parse(next()).done);
    check(&nodes);
});

fn check(nodes: &Nodes) {
    let states = nodes.states();
    assert_eq!(states.len(), nodes.all().len());
    assert!(
        !states.contains(&NodeState::Futile) || states.contains(&NodeState::Failed),
        "what waits in vain waits for one that failed"
    );
    for node in 0..states.len() {
        let attempts = nodes.attempts(node);
        assert!(attempts.is_sorted_by_key(|attempt| attempt.submitted), "attempts are in order");
    }
}
