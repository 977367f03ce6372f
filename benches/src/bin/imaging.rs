//! Prepares every image of a folder as `fl-client prepare` does, and says what it took: `imaging FOLDER THREADS REPEATS [OUT]`.
//!
//! Images become 224 x 224 squares of 8 bits. One pass comes before the clock starts, so that files lie in the page cache;
//! OUT then has the squares, in the order of the files' names. Prints JSON: images prepared, processor and wall seconds,
//! and the largest resident size in bytes.

use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

use contract::dataset::{Depth, Fit, ImageSettings};
use fl_client::data::decode;
use rayon::prelude::*;

const SETTINGS: ImageSettings = ImageSettings {
    size: 224,
    channels: 1,
    mean: 0.5,
    std: 0.5,
    depth: Depth::U8,
    fit: Fit::Stretch,
};

/// As in `fl-client`, so that the costs are its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (folder, threads, repeats, out) = match words.as_slice() {
        [folder, threads, repeats] => (folder, threads.parse()?, repeats.parse::<usize>()?, None),
        [folder, threads, repeats, out] => (folder, threads.parse()?, repeats.parse::<usize>()?, Some(out)),
        _ => return Err("give FOLDER THREADS REPEATS [OUT]".into()),
    };
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let prepare = |file: &PathBuf| {
        decode::square(file, None, &SETTINGS).map_err(|refusal| refusal.at(file).to_string())
    };
    let squares: Vec<_> = pool.install(|| files.par_iter().map(prepare).collect::<Result<_, _>>())?;
    if let Some(out) = out {
        let pixels: Vec<u8> = squares
            .iter()
            .flat_map(|square| square.pixels.iter().copied())
            .collect();
        fs::write(out, pixels)?;
    }
    let (begin, cpu) = (Instant::now(), usage().0);
    // One run over all of them: a pause after every repeat would count against two threads.
    pool.install(|| {
        let prepared = (0..files.len() * repeats).into_par_iter();
        prepared.try_for_each(|index| prepare(&files[index % files.len()]).map(drop))
    })?;
    let (wall, (end, largest)) = (begin.elapsed().as_secs_f64(), usage());
    let line = serde_json::json!({
        "images": files.len() * repeats,
        "cpu_s": end - cpu,
        "wall_s": wall,
        "max_rss": largest,
    });
    Ok(line.to_string())
}

/// Processor seconds of this process so far, and its largest resident size in bytes.
fn usage() -> (f64, i64) {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `getrusage` writes a whole `rusage` into the place it is given, and zeroes are one too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    (
        seconds(usage.ru_utime) + seconds(usage.ru_stime),
        usage.ru_maxrss * 1024,
    )
}
