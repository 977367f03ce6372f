//! Paths as written into absolute ones, by their words alone.

use std::path::{Component, Path, PathBuf};

use crate::{
    diag::{Code, Diagnostic},
    spec::{At, FilePath, Found},
};

/// `path` seen from the folder `base`, with `.` and `..` worked out by their words: symbolic links are not followed.
pub fn resolve(path: At<FilePath>, base: &Path, found: &mut Found) -> Option<String> {
    let At {
        value: FilePath(path),
        span,
    } = path;
    let mut resolved = PathBuf::new();
    for component in base.join(&path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                // Above the root is the root.
                resolved.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => resolved.push(component),
        }
    }
    let text = resolved.into_os_string().into_string();
    if text.is_err() {
        let words = format!("`{path}` is seen from a folder whose name is not Unicode text");
        let error =
            Diagnostic::error(Code::UnusablePath, span, words).label("must be Unicode text with its folder");
        found.push(error.help("move the specification, or write the path in full"));
    }
    text.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Span;

    fn resolved(path: &str, base: &str) -> String {
        let path = At {
            value: FilePath(path.to_owned()),
            span: Span::default(),
        };
        resolve(path, Path::new(base), &mut Found::new()).unwrap()
    }

    #[test]
    fn relative_paths_start_at_the_folder_of_the_specification() {
        assert_eq!(resolved("images", "/specs"), "/specs/images");
        assert_eq!(
            resolved("../../shared/./data/x.csv", "/home/ada/repo/examples"),
            "/home/ada/shared/data/x.csv"
        );
        assert_eq!(resolved("/data/nih/", "/specs"), "/data/nih");
        assert_eq!(resolved("../../../x", "/a"), "/x");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_not_text_is_reported() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let path = At {
            value: FilePath("x".to_owned()),
            span: Span::default(),
        };
        let mut found = Found::new();
        assert_eq!(
            resolve(path, Path::new(OsStr::from_bytes(b"/\xff")), &mut found),
            None
        );
        assert_eq!(found[0].code, Code::UnusablePath);
    }
}
