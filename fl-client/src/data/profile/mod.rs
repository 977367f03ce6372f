//! `fl-client profile`: what is in a folder of images, and what of it could be used.
//!
//! In: a folder. Out: a [`Profile`] as JSON, and the same as text for people. Only headers are read, no image is decoded,
//! so an image whose header is whole and whose pixels are not passes here and is found by `prepare`. Files are read in
//! parallel, a chunk at a time: memory holds their names and what identifies patients and series, never their content.
//! Start at [`run`].
//!
//! | module | does |
//! |---|---|
//! | `picture` | headers of PNG and JPEG files |
//! | `same` | finds files with the same bytes |
//! | `tables` | columns of tables |
//! | `text` | the profile for people |

mod picture;
mod same;
mod tables;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use contract::{
    args::ProfileArgs,
    exit::JobExit,
    job::{JobError, write_json},
    profile::{Profile, Unusable},
};
use rayon::prelude::*;

use super::{
    decode::{is_dicom, is_named_dicom, is_picture},
    source::{
        dicom::{
            attributes,
            header::{self, Instance, Read},
        },
        tree::{self, Found},
    },
};
use crate::threads::with_threads;

/// Files read at once.
const CHUNK: usize = 4096;

/// Bytes by which a file's format is told.
const MAGIC: usize = 132;

/// Summarises a folder.
///
/// # Errors
/// `InputMissing` or `Io` naming what cannot be read; `DataUnfit` if there is no file at all.
pub fn run(args: &ProfileArgs) -> Result<(), JobError> {
    let ProfileArgs {
        root,
        threads,
        profile,
    } = args;
    let made = with_threads(*threads, || of(root.path()))?;
    write_json(profile.path(), &made)?;
    print!("{}", text::print(&made));
    Ok(())
}

/// The profile of a folder.
///
/// # Errors
/// As [`run`].
pub fn of(root: &Path) -> Result<Profile, JobError> {
    let files = tree::walk(root)?;
    if files.is_empty() {
        return Err(
            JobError::new(JobExit::DataUnfit, format!("`{}` has no files", root.display()))
                .about(root)
                .help("give the folder that holds the images"),
        );
    }
    let mut gathered = Gathered::new(root);
    for chunk in files.chunks(CHUNK) {
        let seen: Vec<Seen<'_>> = chunk.par_iter().map(look).collect::<Result<_, _>>()?;
        for (file, seen) in chunk.iter().zip(seen) {
            gathered.add(file, seen);
        }
    }
    gathered.finish(&files)
}

/// What a file is.
enum Seen<'a> {
    Dicom(Box<Instance<'a>>),
    Picture(picture::Picture),
    Table,
    Unusable(String),
    /// Of a kind.
    Other(String),
}

fn look(file: &Found) -> Result<Seen<'_>, JobError> {
    let mut start = Vec::new();
    let reading = |error: io::Error| JobError::reading(&file.path, &error);
    match File::open(&file.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Seen::Unusable("a link that leads nowhere".to_owned()));
        }
        Err(error) => return Ok(Seen::Unusable(format!("cannot be opened: {error}"))),
        Ok(opened) => {
            let about = opened.metadata().map_err(reading)?;
            if !about.is_file() {
                return Ok(Seen::Other("no regular file".to_owned()));
            }
            opened
                .take(MAGIC as u64)
                .read_to_end(&mut start)
                .map_err(reading)?;
        }
    }
    let extension = extension(&file.name);
    if is_dicom(&start) || is_named_dicom(&file.path) {
        return Ok(match header::read(file, &[])? {
            Read::Image(instance) => Seen::Dicom(instance),
            Read::NoImage(kind) => Seen::Other(format!("DICOM without an image ({kind})")),
            Read::Unusable(reason) => Seen::Unusable(reason),
            Read::Other => Seen::Unusable("not a DICOM file by its content".to_owned()),
        });
    }
    if is_picture(&start) {
        return Ok(match picture::read(&file.path) {
            Ok(picture) => Seen::Picture(picture),
            Err(reason) => Seen::Unusable(reason),
        });
    }
    Ok(match extension.as_str() {
        "csv" => Seen::Table,
        "png" | "jpg" | "jpeg" => Seen::Unusable("not a PNG or JPEG file by its first bytes".to_owned()),
        "" => Seen::Other("no extension".to_owned()),
        _ => Seen::Other(extension),
    })
}

/// The end of a name in lower case; empty if it has none.
fn extension(name: &str) -> String {
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    name.rsplit_once('.')
        .map_or(String::new(), |(_, end)| end.to_lowercase())
}

/// A profile in the making.
struct Gathered {
    profile: Profile,
    patients: HashSet<String>,
    series: HashSet<String>,
    /// Names of images, for columns of tables.
    images: HashSet<String>,
    tables: Vec<Found>,
    /// Whether each file is an image that can be read.
    is_image: Vec<bool>,
}

impl Gathered {
    fn new(root: &Path) -> Self {
        Self {
            profile: Profile {
                fedwing_profile: Profile::VERSION,
                root: root.display().to_string(),
                files: 0,
                images: 0,
                frames: 0,
                patients: None,
                series: None,
                formats: BTreeMap::new(),
                modalities: BTreeMap::new(),
                sizes: BTreeMap::new(),
                bits: BTreeMap::new(),
                colours: BTreeMap::new(),
                folders: BTreeMap::new(),
                institutions: BTreeMap::new(),
                attributes: BTreeMap::new(),
                tables: Vec::new(),
                unusable: Vec::new(),
                others: BTreeMap::new(),
                burned_in: 0,
                same_bytes: 0,
            },
            patients: HashSet::new(),
            series: HashSet::new(),
            images: HashSet::new(),
            tables: Vec::new(),
            is_image: Vec::new(),
        }
    }

    fn add(&mut self, file: &Found, seen: Seen<'_>) {
        let profile = &mut self.profile;
        profile.files += 1;
        let is_image = matches!(seen, Seen::Dicom(_) | Seen::Picture(_));
        self.is_image.push(is_image);
        if is_image {
            profile.images += 1;
            count(&mut profile.folders, file.top().unwrap_or("."));
            self.images.insert(file.name.clone());
        }
        match seen {
            Seen::Dicom(instance) => self.add_dicom(&instance),
            Seen::Picture(picture) => {
                profile.frames += 1;
                count(&mut profile.formats, picture.format);
                count(&mut profile.sizes, &size(picture.size));
                *profile.bits.entry(picture.bits).or_default() += 1;
                count(&mut profile.colours, picture.colour);
            }
            Seen::Table => self.tables.push(file.clone()),
            Seen::Unusable(reason) => profile.unusable.push(Unusable {
                file: file.name.clone(),
                reason,
            }),
            Seen::Other(kind) => count(&mut profile.others, &kind),
        }
    }

    fn add_dicom(&mut self, instance: &Instance<'_>) {
        let profile = &mut self.profile;
        let Instance {
            file: _,
            uid: _,
            patient,
            series,
            modality,
            number: _,
            position: _,
            orientation: _,
            frames,
            view: _,
            sex: _,
            age_years: _,
            manufacturer: _,
            institution,
            burned_in,
            size: pixels,
            bits,
            photometric,
            transfer_syntax,
            asked: _,
        } = instance;
        profile.frames += u64::from(*frames);
        profile.burned_in += u64::from(*burned_in);
        count(&mut profile.formats, transfer_syntax);
        count_said(&mut profile.modalities, modality);
        count(&mut profile.sizes, &size(*pixels));
        *profile.bits.entry(*bits).or_default() += 1;
        count_said(&mut profile.colours, photometric);
        count_said(&mut profile.institutions, institution);
        for (attribute, value) in attributes(instance) {
            let values = profile
                .attributes
                .entry(attribute.as_str().to_owned())
                .or_default();
            count(values, &value);
        }
        for (all, value) in [(&mut self.patients, patient), (&mut self.series, series)] {
            if !value.is_empty() && !all.contains(value) {
                all.insert(value.clone());
            }
        }
    }

    fn finish(self, files: &[Found]) -> Result<Profile, JobError> {
        let Self {
            mut profile,
            patients,
            series,
            images,
            tables,
            is_image,
        } = self;
        let distinct = |all: HashSet<String>| Some(all.len() as u64).filter(|count| *count > 0);
        (profile.patients, profile.series) = (distinct(patients), distinct(series));
        let images_only: Vec<&Found> = files
            .iter()
            .zip(is_image)
            .filter_map(|(file, is_image)| is_image.then_some(file))
            .collect();
        profile.same_bytes = same::groups(&images_only)?;
        let names = tables::Names::new(&images);
        for table in tables {
            match tables::read(&table, &names) {
                Ok(table) => profile.tables.push(table),
                Err(error) if error.exit == JobExit::InputInvalid => profile.unusable.push(Unusable {
                    file: table.name.clone(),
                    reason: without_path(&table, error.message),
                }),
                Err(error) => return Err(error),
            }
        }
        profile.unusable.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(profile)
    }
}

/// A message without the path it begins with: the file is named beside it.
fn without_path(file: &Found, message: String) -> String {
    let path = format!("`{}`: ", file.path.display());
    message.strip_prefix(&path).map(str::to_owned).unwrap_or(message)
}

fn size((width, height): (u32, u32)) -> String {
    format!("{width}x{height}")
}

fn count(counts: &mut BTreeMap<String, u64>, value: &str) {
    match counts.get_mut(value) {
        Some(count) => *count += 1,
        None => {
            counts.insert(value.to_owned(), 1);
        }
    }
}

/// Counts a value unless it is empty.
fn count_said(counts: &mut BTreeMap<String, u64>, value: &str) {
    if !value.is_empty() {
        count(counts, value);
    }
}
