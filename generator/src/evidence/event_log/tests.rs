use proptest::prelude::*;

use super::*;

/// A job that is held after its first try, released, loses its machine and ends well on another.
const LOG: &str = "\
000 (41.000.000) 2026-01-05 09:00:00.250 Job submitted from host: <10.0.0.1:9618?addrs=10.0.0.1-9618&alias=submit>
    DAG Node: train-c0-r1
...
001 (41.000.000) 2026-01-05 09:00:03.000 Job executing on host: <10.0.0.7:9618?alias=worker7&sock=startd_1>
\tSlotName: slot1_2@worker7.example
\tCpus = 4
...
006 (41.000.000) 2026-01-05 09:00:09.000 Image size of job updated: 900000
\t12  -  MemoryUsage of job (MB)
\t11500  -  ResidentSetSize of job (KB)
...
012 (41.000.000) 2026-01-05 09:00:10.000 Job was held.
\tTransfer output files failure: no such file
\tCode 12 Subcode 2
...
013 (41.000.000) 2026-01-05 09:01:00.000 Job was released.
\tvia condor_release (by user ada)
...
001 (41.000.000) 2026-01-05 09:01:04.000 Job executing on host: <10.0.0.8:9618?addrs=10.0.0.8-9618&alias=worker8&sock=x>
...
022 (41.000.000) 2026-01-05 09:02:00.000 Job disconnected, attempting to reconnect
    Socket closed
...
024 (41.000.000) 2026-01-05 09:02:30.000 Job reconnection failed
    lease expired
...
004 (41.000.000) 2026-01-05 09:02:30.000 Job was evicted.
\t(0) CPU times
\t\tUsr 0 00:00:40, Sys 0 00:00:02  -  Run Remote Usage
\t0  -  Run Bytes Sent By Job
\t7000  -  Run Bytes Received By Job
...
005 (41.000.000) 2026-01-05 09:05:00.000 Job terminated.
\t(1) Normal termination (return value 0)
\t\tUsr 1 02:03:04, Sys 0 00:00:06  -  Run Remote Usage
\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage
\t5192  -  Run Bytes Sent By Job
\t18284358  -  Run Bytes Received By Job
\tPartitionable Resources :    Usage  Request Allocated
\t   Cpus                 :     0.18        4         4
\t   Memory (MB)          :       18      128       128
\t   TimeExecute (s)      :      120
...
016 (41.000.000) 2026-01-05 09:05:01.000 POST Script terminated.
\t(0) Abnormal termination (signal 9)
    DAG Node: train-c0-r1
...
";

#[test]
fn every_event_of_a_job_is_read() {
    let parsed = parse(LOG.as_bytes());
    assert_eq!((parsed.consumed, parsed.unreadable), (LOG.len(), 0));
    insta::assert_debug_snapshot!(parsed.events.iter().map(|event| &event.what).collect::<Vec<_>>());
    assert_eq!(
        parsed.events[0].job,
        QueueId {
            cluster: 41,
            process: 0
        }
    );
    assert_eq!(parsed.events[1].at.0 - parsed.events[0].at.0, 2750);
}

#[test]
fn a_piece_of_a_log_is_read_up_to_its_last_whole_event() {
    let whole = parse(LOG.as_bytes()).events;
    for cut in 0..LOG.len() {
        let first = parse(&LOG.as_bytes()[..cut]);
        let second = parse(&LOG.as_bytes()[first.consumed..]);
        let both: Vec<_> = first.events.into_iter().chain(second.events).collect();
        assert_eq!(both, whole, "cut at {cut}");
    }
}

#[test]
fn a_damaged_event_is_counted_and_the_next_one_read() {
    let log = "garbage\n...\n005 (1.000.000) 2026-01-05 09:05:00 Job terminated.\n\tno ending\n...\n\
               013 (1.000.000) 2026-01-05 09:05:00 Job was released.\n...\n";
    let parsed = parse(log.as_bytes());
    assert_eq!((parsed.events.len(), parsed.unreadable), (1, 2));
    assert_eq!(parsed.events[0].what, Happening::Released);
}

#[test]
fn an_event_without_end_is_given_up_when_it_is_longer_than_any() {
    let endless = vec![b'x'; LONGEST_EVENT + 1];
    let parsed = parse(&endless);
    assert_eq!((parsed.consumed, parsed.unreadable), (endless.len(), 1));
    assert_eq!(parse(&endless[1..]).consumed, 0);
}

proptest! {
    #[test]
    fn any_bytes_are_read_no_further_than_they_go(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let parsed = parse(&bytes);
        prop_assert!(parsed.consumed <= bytes.len());
    }
}
