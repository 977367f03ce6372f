use super::*;
use crate::evidence::{dag_file, dagman_out, event_log};

/// `a` before `b` and `c`, which both come before `d`; `b` has two retries and a post script.
const DAG: &str = "JOB a a.sub\nJOB b b.sub\nJOB c c.sub\nJOB d d.sub\nPARENT a CHILD b c\nPARENT b c CHILD d\n\
                   RETRY b 2 UNLESS-EXIT 11\nSCRIPT POST b check\n";

struct Scene(Nodes, i64);

impl Scene {
    fn new() -> Self {
        let mut scene = Self(Nodes::new(dag_file::parse(DAG)), 0);
        scene.says("** condor_scheduniv_exec.1.0 (CONDOR_DAGMAN) STARTING UP");
        scene
    }

    fn time(&mut self) -> String {
        self.1 += 1;
        format!("09:{:02}:{:02}", self.1 / 60, self.1 % 60)
    }

    /// An event of the node log; `body` are its further lines.
    fn event(&mut self, number: u16, cluster: u64, body: &str) -> &mut Self {
        let time = self.time();
        let text = format!("{number:03} ({cluster}.000.000) 2026-01-05 {time} something\n{body}\n...\n");
        let parsed = event_log::parse(text.as_bytes());
        assert_eq!(parsed.events.len(), 1, "{text}");
        self.0.on_event(&parsed.events[0]);
        self
    }

    fn submit(&mut self, cluster: u64, node: &str) -> &mut Self {
        self.event(0, cluster, &format!("    DAG Node: {node}"))
    }

    fn ends(&mut self, cluster: u64, code: i32) -> &mut Self {
        self.event(
            5,
            cluster,
            &format!("\t(1) Normal termination (return value {code})"),
        )
    }

    fn post(&mut self, cluster: u64, node: &str, code: i32) -> &mut Self {
        let body = format!("\t(1) Normal termination (return value {code})\n    DAG Node: {node}");
        self.event(16, cluster, &body)
    }

    fn a_is_done(&mut self) -> &mut Self {
        self.submit(90, "a").ends(90, 0)
    }

    fn says(&mut self, text: &str) -> &mut Self {
        let time = self.time();
        let line = format!("01/05/26 {time} {text}\n");
        let (lines, _) = dagman_out::Reader::default().push(line.as_bytes());
        assert_eq!(lines.len(), 1, "{line}");
        self.0.on_line(&lines[0]);
        self
    }

    fn states(&self) -> String {
        let letter = |state: &NodeState| match state {
            NodeState::Unready => 'u',
            NodeState::Ready => 'r',
            NodeState::PreScript => '<',
            NodeState::Queued => 'q',
            NodeState::Running => 'R',
            NodeState::Held => 'H',
            NodeState::PostScript => '>',
            NodeState::Done => 'D',
            NodeState::Failed => 'F',
            NodeState::Futile => 'x',
        };
        self.0.states().iter().map(letter).collect()
    }
}

#[test]
fn a_job_goes_from_unready_to_done_and_frees_its_children() {
    let mut scene = Scene::new();
    assert_eq!(scene.states(), "ruuu");
    scene.submit(2, "a");
    assert_eq!(scene.states(), "quuu");
    scene.event(1, 2, "\tSlotName: slot1@w1");
    assert_eq!(scene.states(), "Ruuu");
    scene.event(12, 2, "\tno disk\n\tCode 12 Subcode 28");
    assert_eq!(scene.states(), "Huuu");
    assert_eq!(scene.0.attempts(0)[0].hold.as_ref().unwrap().code, Some(12));
    scene.event(13, 2, "").event(1, 2, "").ends(2, 0);
    assert_eq!(scene.states(), "Drru");
    assert_eq!(scene.0.attempts(0)[0].host.as_deref(), Some("w1"));
}

#[test]
fn a_post_script_judges_the_job() {
    let mut scene = Scene::new();
    scene.a_is_done().submit(2, "b").event(1, 2, "").ends(2, 0);
    assert_eq!(scene.states(), "D>ru");
    scene.post(2, "b", 1);
    assert_eq!(scene.states(), "Drru", "one try of three failed");
    scene.submit(3, "b").ends(3, 5).post(3, "b", 0);
    assert_eq!(scene.states(), "DDru", "the post script says it is well");
}

#[test]
fn retries_end_at_their_number_or_at_a_code_that_no_retry_mends() {
    let mut scene = Scene::new();
    scene.a_is_done().submit(2, "b").ends(2, 1).post(2, "b", 1);
    scene
        .submit(3, "b")
        .event(9, 3, "\tremoved by policy")
        .post(3, "b", 1);
    assert_eq!(scene.states(), "Drru");
    scene.submit(4, "b").ends(4, 1).post(4, "b", 1);
    assert_eq!(scene.states(), "DFrx", "and `d` waits in vain");

    let mut scene = Scene::new();
    scene.a_is_done().submit(2, "b").ends(2, 11).post(2, "b", 11);
    assert_eq!(scene.states(), "DFrx");
}

#[test]
fn a_machine_that_is_lost_and_comes_back_or_not_costs_no_try() {
    let mut scene = Scene::new();
    scene.submit(2, "a").event(1, 2, "").event(22, 2, "");
    assert_eq!(scene.states(), "Ruuu");
    assert_eq!(scene.0.attempts(0)[0].phase, Phase::OutOfReach);
    scene.event(23, 2, "");
    assert_eq!(scene.0.attempts(0)[0].phase, Phase::Running);
    scene.event(22, 2, "").event(24, 2, "");
    assert_eq!(scene.states(), "quuu");
    scene.event(4, 2, "").event(1, 2, "").ends(2, 0);
    assert_eq!((scene.states().as_str(), scene.0.attempts(0).len()), ("Drru", 1));
    assert_eq!(scene.0.attempts(0)[0].evictions, 1);
}

#[test]
fn what_was_in_the_queue_when_dagman_was_removed_is_done_again_by_the_next() {
    let mut scene = Scene::new();
    scene.submit(2, "a").ends(2, 0).submit(3, "c").event(1, 3, "");
    scene.submit(6, "b").event(
        9,
        6,
        "\tremoved because <OtherJobRemoveRequirements = DAGManJobId =?= 1> fired when job (1.0) was removed",
    );
    scene
        .says("Received SIGUSR1")
        .event(9, 3, "\tDAG Removed: User removed scheduler job from queue.");
    scene.says("**** condor_scheduniv_exec.1.0 (condor_DAGMAN) pid 5 EXITING WITH STATUS 2");
    assert_eq!(scene.states(), "Drru");
    assert_eq!((scene.0.life(), scene.0.was_removed()), (Life::Ended(2), true));
    scene.says("** condor_scheduniv_exec.4.0 (CONDOR_DAGMAN) STARTING UP");
    assert_eq!((scene.0.life(), scene.0.was_removed()), (Life::Started, false));
    scene.submit(5, "c").ends(5, 0);
    assert_eq!(scene.states(), "DrDu");
    assert_eq!(scene.0.attempts(2).len(), 2);
}

#[test]
fn scripts_before_and_jobs_that_cannot_be_submitted_fail_a_node() {
    let mut scene = Scene::new();
    scene.says("Running PRE script of Node a...");
    assert_eq!(scene.states(), "<uuu");
    scene.says("PRE Script of Job a failed with status 2");
    assert_eq!(scene.states(), "Fxxx");

    let mut scene = Scene::new();
    scene.says("Shortcutting node a retries because of submit failure(s)");
    assert_eq!(scene.states(), "Fxxx");
    scene.says("** condor_scheduniv_exec.9.0 (CONDOR_DAGMAN) STARTING UP");
    assert_eq!(scene.states(), "ruuu", "a new start tries again");
}

#[test]
fn what_an_emptied_node_log_told_is_known_from_dagman() {
    let mut scene = Scene::new();
    scene.says("Event: ULOG_SUBMIT for HTCondor Node a (2.0.0) {01/05/26 09:00:01}");
    scene.says("Event: ULOG_EXECUTE for HTCondor Node a (2.0.0) {01/05/26 09:00:02}");
    assert_eq!(scene.states(), "Ruuu");
    scene.says("Event: ULOG_JOB_TERMINATED for HTCondor Node a (2.0.0) {01/05/26 09:00:03}");
    scene.says("Node a job proc (2.0.0) completed successfully.");
    assert_eq!(scene.states(), "Drru");
    // The node log, had it been there, would have told the same once.
    scene.submit(2, "a").event(1, 2, "").ends(2, 0);
    assert_eq!((scene.states().as_str(), scene.0.attempts(0).len()), ("Drru", 1));
}

#[test]
fn nodes_a_rescue_file_names_are_done() {
    let mut scene = Scene::new();
    scene
        .0
        .mark_done(&["a".to_owned(), "c".to_owned(), "stranger".to_owned()]);
    assert_eq!(scene.states(), "DrDu");
}

#[test]
fn a_node_of_several_jobs_is_as_far_as_the_one_that_is_least() {
    let mut scene = Scene::new();
    scene.submit(2, "a").ends(2, 0);
    let text = "000 (2.001.000) 2026-01-05 09:30:00 Job submitted\n    DAG Node: a\n...\n";
    scene.0.on_event(&event_log::parse(text.as_bytes()).events[0]);
    assert_eq!(scene.states(), "quuu");
}

#[test]
fn a_job_that_the_queue_itself_tries_again_has_a_try_each_time() {
    let mut scene = Scene::new();
    scene.submit(2, "a").event(1, 2, "\tSlotName: slot1@w1");
    let requeued = "\t(1) Job terminated and was requeued\n\t(1) Normal termination (return value 20)";
    scene.event(4, 2, requeued);
    assert_eq!(scene.states(), "quuu");
    scene.event(1, 2, "\tSlotName: slot1@w2").ends(2, 0);
    assert_eq!(scene.states(), "Drru");
    let tries = scene.0.attempts(0);
    assert_eq!((tries[0].code(), tries[1].code()), (Some(20), Some(0)));
    assert_eq!(tries[1].evictions, 0, "no machine was lost");
    assert!(!scene.0.succeeded(0, &tries[0]) && scene.0.succeeded(0, &tries[1]));
}

#[test]
fn attempts_stay_in_order_when_the_clock_is_set_back() {
    let mut scene = Scene::new();
    scene.submit(2, "b").submit(3, "b");
    scene.1 -= 3;
    scene.submit(3, "b");
    let jobs: Vec<u64> = scene
        .0
        .attempts(1)
        .iter()
        .map(|attempt| attempt.job.cluster)
        .collect();
    assert_eq!(jobs, [3, 2], "told again with an earlier time, it comes first");
}
