//! Profiles of made trees.

use contract::{args::ProfileArgs, exit::JobExit, job::read_json, profile::Profile};
use image::DynamicImage;
use tempfile::TempDir;

use super::*;
use crate::data::fixtures::{dicom::DicomFile, png, text};

fn tree() -> TempDir {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    for (name, side) in [("normal/1.png", 40), ("normal/2.png", 40), ("mass/1.png", 30)] {
        png(&root.join(name), &DynamicImage::new_luma8(side, 40));
    }
    png(&root.join("mass/deep.png"), &DynamicImage::new_luma16(30, 40));
    let jpeg = DynamicImage::new_rgb8(16, 8);
    jpeg.save_with_format(root.join("top.jpg"), image::ImageFormat::Jpeg)
        .unwrap();
    text(root, "mass/broken.png", "no image");
    text(root, "notes.txt", "a note");
    text(root, "README", "");
    text(
        root,
        "labels.csv",
        "image,patient,finding,age\nnormal/1.png,who-7,No Finding,50\nnormal/2.png,who-7,No Finding,51\n\
         mass/1.png,who-8,Mass|Edema,60\nmass/deep.png,who-9,Mass,50\ngone.png,who-9,Mass,61\ngone2.png,who-9,Edema,62\n",
    );
    text(root, "cut.csv", "a,b\n1\n");
    let radiograph = |number: u32| {
        DicomFile::new(number)
            .text(0x0010_0020, "LO", "who-1")
            .text(0x0010_0040, "CS", "F")
            .text(0x0010_1010, "AS", "044Y")
            .text(0x0018_5101, "CS", "PA")
    };
    radiograph(1).write(root, "scans/1");
    radiograph(2)
        .frames(3)
        .text(0x0028_0301, "CS", "YES")
        .write(root, "scans/2.dcm");
    DicomFile::new(3)
        .slice("1.2.9", 1.0)
        .text(0x0008_0080, "LO", "North Hospital")
        .write(root, "scans/deep/3");
    let structures = radiograph(4).text(0x0008_0060, "CS", "RTSTRUCT");
    structures
        .text(0x0028_0010, "US", "")
        .text(0x7fe0_0010, "OW", "")
        .write(root, "scans/4");
    let whole = radiograph(5).bytes();
    std::fs::write(root.join("scans/5.dcm"), &whole[..300]).unwrap();
    std::fs::write(root.join("scans/empty.dcm"), "").unwrap();
    dir
}

/// A profile whose root has a name that does not change.
fn profile(dir: &TempDir) -> Profile {
    let mut profile = of(dir.path()).unwrap();
    let root = dir.path().display().to_string();
    assert_eq!(profile.root, root);
    profile.root = "ROOT".to_owned();
    for unusable in &mut profile.unusable {
        unusable.reason = unusable.reason.replace(&root, "ROOT");
    }
    profile
}

#[test]
fn a_profile_says_what_is_there_and_what_cannot_be_used() {
    insta::assert_snapshot!(text::print(&profile(&tree())));
}

#[test]
fn a_profile_names_no_patient() {
    let dir = tree();
    let json = serde_json::to_string(&profile(&dir)).unwrap();
    assert!(!json.contains("who-"), "{json}");
    assert!(json.contains("\"Edema\":2"), "{json}");
}

#[test]
fn the_job_writes_the_profile_and_threads_do_not_change_it() {
    let (dir, out) = (tree(), TempDir::new().unwrap());
    let written = |threads: u32| -> Profile {
        let path = out.path().join("profile.json");
        run(&ProfileArgs {
            root: dir.path().to_str().unwrap().into(),
            threads: Some(threads),
            profile: path.to_str().unwrap().into(),
        })
        .unwrap();
        read_json(&path, 1 << 20).unwrap()
    };
    assert_eq!(written(1), written(4));
    assert_eq!(written(1).images, 8);
}

#[test]
fn a_folder_without_files_or_none_at_all_is_refused() {
    let dir = TempDir::new().unwrap();
    assert_eq!(of(dir.path()).unwrap_err().exit, JobExit::DataUnfit);
    assert_eq!(
        of(&dir.path().join("gone")).unwrap_err().exit,
        JobExit::InputMissing
    );
}

#[test]
fn control_characters_of_names_do_not_reach_the_terminal() {
    let mut made = profile(&tree());
    made.folders.insert("\u{1b}[31mred".to_owned(), 3);
    let text = text::print(&made);
    assert!(text.contains("\u{fffd}[31mred") && !text.contains('\u{1b}'));
}
