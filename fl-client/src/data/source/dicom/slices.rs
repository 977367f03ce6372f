//! Which images of a series are taken.
//!
//! In: images. Out: those asked for, each with its frame if its file has several, in the order they came. CT, MR and PT
//! images of one series are slices of one volume, and so are the frames of a file that has several. Start at [`select`].

use std::{cmp::Ordering, collections::BTreeMap};

use contract::dataset::Slices;

use super::{OTHER_SLICE, header::Instance};
use crate::data::source::LeftOut;

/// Modalities whose series are volumes.
const VOLUMES: [&str; 3] = ["CT", "MR", "PT"];

/// Takes the images asked for; the others are counted.
pub fn select<'a>(
    instances: Vec<Instance<'a>>,
    slices: Slices,
    left_out: &mut LeftOut,
) -> Vec<(Instance<'a>, Option<u32>)> {
    // Indices of single slices by series; images that name none are one by folder.
    let mut series = BTreeMap::<(&str, &str), Vec<usize>>::new();
    let mut taken = Vec::with_capacity(instances.len());
    for (index, instance) in instances.iter().enumerate() {
        if instance.frames > 1 {
            let frames = positions(instance.frames as usize, slices);
            left_out.count_many(OTHER_SLICE, u64::from(instance.frames) - frames.len() as u64);
            taken.extend(frames.into_iter().map(|frame| (index, Some(frame as u32))));
        } else if VOLUMES.contains(&instance.modality.as_str()) {
            let key = match instance.series.as_str() {
                "" => (
                    "",
                    instance
                        .file
                        .name
                        .rsplit_once('/')
                        .map_or("", |(folder, _)| folder),
                ),
                uid => (uid, ""),
            };
            series.entry(key).or_default().push(index);
        } else {
            taken.push((index, None));
        }
    }
    for mut members in series.into_values() {
        sort(&instances, &mut members);
        let chosen = positions(members.len(), slices);
        left_out.count_many(OTHER_SLICE, (members.len() - chosen.len()) as u64);
        taken.extend(chosen.into_iter().map(|place| (members[place], None)));
    }
    taken.sort_unstable();
    taken
        .into_iter()
        .map(|(index, frame)| (instances[index].clone(), frame))
        .collect()
}

/// Which of `count` slices in order are taken.
fn positions(count: usize, slices: Slices) -> Vec<usize> {
    match slices {
        // Of an even number the later of the two in the middle.
        Slices::Middle => vec![count / 2],
        Slices::Every(step) => (0..count).step_by(step.max(1) as usize).collect(),
    }
}

/// Sorts slices along the normal of their plane; by number where not all say where they are, else by name.
fn sort(instances: &[Instance<'_>], members: &mut [usize]) {
    let normal = members.iter().find_map(|index| normal(&instances[*index]));
    let depths: Option<BTreeMap<usize, f64>> = normal.and_then(|normal| {
        members
            .iter()
            .map(|index| {
                let position = instances[*index].position?;
                let depth: f64 = position.iter().zip(normal).map(|(p, n)| p * n).sum();
                depth.is_finite().then_some((*index, depth))
            })
            .collect()
    });
    let numbered = members.iter().all(|index| instances[*index].number.is_some());
    members.sort_by(|a, b| {
        let by_depth = match &depths {
            Some(depths) => depths[a].total_cmp(&depths[b]),
            None => Ordering::Equal,
        };
        let by_number = if numbered {
            instances[*a].number.cmp(&instances[*b].number)
        } else {
            Ordering::Equal
        };
        // Indices are in the order of names.
        by_depth.then(by_number).then(a.cmp(b))
    });
}

/// The direction across a slice's rows and columns (PS3.3 C.7.6.2.1.1).
fn normal(instance: &Instance<'_>) -> Option<[f64; 3]> {
    let [rx, ry, rz, cx, cy, cz] = instance.orientation?;
    let normal = [ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx];
    let length: f64 = normal.iter().map(|n| n * n).sum();
    (length.is_finite() && length > 0.0).then_some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::tree::Found;

    fn files(names: &[&str]) -> Vec<Found> {
        let found = names.iter().map(|name| Found {
            path: name.into(),
            name: (*name).to_owned(),
        });
        found.collect()
    }

    /// A slice of series `s` in an oblique plane, `depth` along its normal.
    fn slice(file: &Found, depth: Option<f64>, number: Option<i64>) -> Instance<'_> {
        let mut instance = Instance::of(file);
        (instance.modality, instance.series) = ("CT".to_owned(), "s".to_owned());
        // Rows along y, columns along z: the normal is x.
        instance.orientation = Some([0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        // Where it is within the plane must not count.
        instance.position = depth.map(|depth| [depth, -100.0 * depth, 7.0]);
        instance.number = number;
        instance
    }

    fn names(instances: Vec<Instance<'_>>, slices: Slices) -> (Vec<String>, u64) {
        let mut left_out = LeftOut::default();
        let taken = select(instances, slices, &mut left_out);
        let names = taken.iter().map(|(instance, frame)| match frame {
            Some(frame) => format!("{}#{frame}", instance.file.name),
            None => instance.file.name.clone(),
        });
        let names = names.collect();
        (names, left_out.into_inner().values().sum())
    }

    #[test]
    fn slices_are_in_order_along_the_normal_whatever_their_names_and_numbers() {
        let files = files(&["a", "b", "c", "d"]);
        let depths = [30.0, -10.0, 20.0, 1.5];
        let of = || -> Vec<_> {
            let numbered = files.iter().zip(depths).zip(0..);
            numbered
                .map(|((file, depth), number)| slice(file, Some(depth), Some(number)))
                .collect()
        };
        // In order: b, d, c, a. Of four the third is the middle.
        assert_eq!(names(of(), Slices::Middle), (vec!["c".to_owned()], 3));
        assert_eq!(
            names(of(), Slices::Every(3)),
            (vec!["a".to_owned(), "b".to_owned()], 2)
        );
        assert_eq!(names(of(), Slices::Every(1)).0, ["a", "b", "c", "d"]);
        assert_eq!(names(of()[..3].to_vec(), Slices::Middle).0, ["c"]);
    }

    #[test]
    fn numbers_count_where_a_slice_does_not_say_where_it_is_and_names_where_one_has_no_number() {
        let files = files(&["a", "b", "c"]);
        let of = |numbers: [Option<i64>; 3]| -> Vec<_> {
            let depths = [Some(1.0), None, Some(3.0)];
            let each = files.iter().zip(depths).zip(numbers);
            each.map(|((file, depth), number)| slice(file, depth, number))
                .collect()
        };
        assert_eq!(names(of([Some(2), Some(9), Some(1)]), Slices::Middle).0, ["a"]);
        assert_eq!(names(of([Some(2), None, Some(1)]), Slices::Middle).0, ["b"]);
    }

    #[test]
    fn series_are_apart_and_other_modalities_keep_every_image() {
        let files = files(&["a", "b", "c", "d", "e"]);
        let mut instances: Vec<_> = files.iter().map(|file| slice(file, None, None)).collect();
        instances[1].series = "t".to_owned();
        instances[3].modality = "DX".to_owned();
        instances[4].modality = "DX".to_owned();
        // Of series `s` there are a and c, of `t` there is b alone.
        assert_eq!(
            names(instances, Slices::Middle),
            (["b", "c", "d", "e"].map(str::to_owned).to_vec(), 1)
        );
    }

    #[test]
    fn images_that_name_no_series_are_one_by_folder() {
        let files = files(&["x/a", "x/b", "y/a"]);
        let mut instances: Vec<_> = files.iter().map(|file| slice(file, None, None)).collect();
        instances.iter_mut().for_each(|instance| instance.series.clear());
        assert_eq!(names(instances, Slices::Middle).0, ["x/b", "y/a"]);
    }

    #[test]
    fn frames_of_one_file_are_slices_of_it() {
        let files = files(&["a", "b"]);
        let mut instances: Vec<_> = files.iter().map(Instance::of).collect();
        (instances[0].frames, instances[1].frames) = (4, 3);
        assert_eq!(
            names(instances.clone(), Slices::Middle),
            (vec!["a#2".to_owned(), "b#1".to_owned()], 5)
        );
        assert_eq!(names(instances, Slices::Every(2)).0, ["a#0", "a#2", "b#0", "b#2"]);
    }
}
