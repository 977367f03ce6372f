//! One global model of as many updates as there are clients: files to file, by `fl-aggregator`.

use std::{
    error::Error,
    fs,
    os::unix::{fs::symlink, process::ExitStatusExt},
    path::Path,
    process::Command,
    time::Instant,
};

use benches::binary;

use super::Cost;

/// Values of a model: a fiftieth of ResNet-18.
const VALUES: usize = 224_000;

/// Updates that are files of their own; others are links to them, so that ten thousand fit a disk.
const DISTINCT: u32 = 10;

pub fn run(clients: u32) -> Result<Cost, Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("fedwing-scale-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let cost = aggregate(&folder, clients);
    fs::remove_dir_all(&folder)?;
    cost
}

fn aggregate(folder: &Path, clients: u32) -> Result<Cost, Box<dyn Error>> {
    write_model(&folder.join("global.safetensors"), 0)?;
    for update in 0..clients {
        let path = folder.join(format!("u{update}.safetensors"));
        match update < DISTINCT {
            true => write_model(&path, update + 1)?,
            false => symlink(folder.join(format!("u{}.safetensors", update % DISTINCT)), path)?,
        }
    }
    let mut command = Command::new(binary("fl-aggregator"));
    command.current_dir(folder).args([
        "aggregate",
        "--strategy",
        "fedavg",
        "--global",
        "global.safetensors",
    ]);
    for update in 0..clients {
        command.args(["--update", &format!("u{update}.safetensors"), "--samples", "1"]);
    }
    command.args(["--output", "new.safetensors"]);
    let begun = Instant::now();
    let output = command.output()?;
    let seconds = begun.elapsed().as_secs_f64();
    if !output.status.success() {
        let signal = output.status.signal();
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("fl-aggregator failed ({signal:?}): {words}").into());
    }
    let usage: contract::job::Usage = serde_json::from_slice(&output.stdout)?;
    let mean = first_value(&folder.join("new.safetensors"))?;
    if !(0.0..=f32::from(DISTINCT as u16) + 1.0).contains(&mean) {
        return Err(format!("the mean is {mean}").into());
    }
    let bytes = u64::from(clients) * fs::metadata(folder.join("u0.safetensors"))?.len();
    Ok(Cost {
        seconds,
        bytes,
        memory: Some(usage.peak_memory_bytes),
    })
}

fn write_model(path: &Path, value: u32) -> Result<(), Box<dyn Error>> {
    let header = format!(
        "{{\"w\":{{\"dtype\":\"F32\",\"shape\":[{VALUES}],\"data_offsets\":[0,{}]}}}}",
        4 * VALUES
    );
    // Tensors begin at a multiple of eight.
    let padded = format!("{header:<width$}", width = header.len().next_multiple_of(8));
    let mut bytes = (padded.len() as u64).to_le_bytes().to_vec();
    bytes.extend(padded.as_bytes());
    bytes.extend((value as f32).to_le_bytes().repeat(VALUES));
    Ok(fs::write(path, bytes)?)
}

fn first_value(path: &Path) -> Result<f32, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let last = bytes.last_chunk::<4>().ok_or("the model is empty")?;
    Ok(f32::from_le_bytes(*last))
}
