//! Several clients in one job.

use std::fs;

use contract::{
    aggregation::Encoding,
    args::{Job, TrainArgs, TrainClientsArgs},
    ids::{ClientId, Seed},
    recipe::Method,
    training::Arch,
};

use crate::folder::{Folder, init, train};

/// Both clients' training, with all that a client may leave.
fn clients(folder: &Folder) -> [TrainArgs; 2] {
    let recipe = folder.recipe("personal.json", |recipe| {
        recipe.method = Method::Ditto { lambda: 0.1 };
    });
    [0, 1].map(|client| TrainArgs {
        client: ClientId(client),
        seed: Seed(100 + u64::from(client)),
        recipe: recipe.clone(),
        shard: format!("c{client}.st").as_str().into(),
        encoding: Some(Encoding::Int8),
        checkpoint: Some(format!("k{client}.st").as_str().into()),
        residual_out: Some(format!("r{client}.st").as_str().into()),
        personal_out: Some(format!("p{client}.st").as_str().into()),
        update: format!("u{client}.st").as_str().into(),
        metrics: format!("u{client}.json").as_str().into(),
        ..train()
    })
}

#[test]
fn clients_trained_by_one_job_send_what_they_send_alone() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let jobs = clients(&folder);
    let together = TrainClientsArgs::of(&jobs).unwrap();
    let before = folder.files();
    let taken = || -> Vec<(String, Vec<u8>)> {
        let mut new = folder.files();
        new.retain(|name| !before.contains(name));
        let take = |name: String| {
            let bytes = folder.bytes(&name);
            fs::remove_file(folder.path(&name)).unwrap();
            (name, bytes)
        };
        new.into_iter().map(take).collect()
    };
    for job in jobs {
        folder.succeed(&Job::Train(job));
    }
    let alone = taken();
    assert_eq!(alone.len(), 8);
    folder.succeed(&Job::TrainClients(together));
    assert!(taken() == alone);
}

#[test]
fn a_client_that_fails_fails_the_job_and_no_output_is_left() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let mut jobs = clients(&folder);
    jobs[1].shard = "nowhere.st".into();
    for job in &mut jobs {
        job.checkpoint = None;
    }
    let together = TrainClientsArgs::of(&jobs).unwrap();
    let (code, stderr) = folder.fail(&Job::TrainClients(together.clone()));
    assert_eq!(code, 10);
    assert!(stderr.contains("nowhere.st"), "{stderr}");

    let short = TrainClientsArgs {
        seeds: vec![Seed(1)],
        ..together
    };
    let (code, stderr) = folder.fail(&Job::TrainClients(short));
    assert_eq!(code, 2);
    assert!(
        stderr.contains("`--seed` is given 1 times, there are 2 clients"),
        "{stderr}"
    );
}
