//! The table of codes. A code is never reused; its page is `docs/codes/<code>.md`.

use std::fmt;

macro_rules! codes {
    ($( $variant:ident = $code:literal: $title:literal, )*) => {
        /// Which rule speaks. `FL01..`: reading YAML; `FL02..`: one value; `FL03..`: several values together;
        /// `FL04..`: features;
        /// `FL05..`: sweeps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $( #[doc = $title] $variant, )* }

        impl Code {
            /// Every code, ascending.
            pub const ALL: &'static [Code] = &[$( Code::$variant, )*];

            /// The code as written, such as `FL0201`.
            pub const fn as_str(self) -> &'static str {
                match self { $( Code::$variant => $code, )* }
            }

            /// The rule in a few words.
            pub const fn title(self) -> &'static str {
                match self { $( Code::$variant => $title, )* }
            }

            /// Its page, Markdown: what it means, an example that triggers it, how to fix it.
            pub const fn page(self) -> &'static str {
                match self {
                    $( Code::$variant => include_str!(concat!("../../../docs/codes/", $code, ".md")), )*
                }
            }
        }
    };
}

codes! {
    NotYaml = "FL0101": "not readable as YAML",
    TooLarge = "FL0102": "the specification is too large",
    DuplicateKey = "FL0103": "a key is given twice",
    UnknownKey = "FL0201": "unknown key",
    MissingKey = "FL0202": "a required key is missing",
    WrongType = "FL0203": "a value of the wrong type",
    UnknownWord = "FL0204": "not one of the words allowed here",
    NoValue = "FL0205": "a key without a value",
    OutOfRange = "FL0206": "a number out of range",
    SpecVersion = "FL0207": "another version of the specification format",
    InvalidName = "FL0208": "not a name",
    InvalidQuantity = "FL0209": "not a size or a time",
    Empty = "FL0210": "an empty text or list",
    Repeated = "FL0211": "listed twice",
    UnusablePath = "FL0212": "not a usable path",
    TooFewPatients = "FL0301": "fewer patients than the clients need",
    NoInstitutions = "FL0302": "the source has no institutions to split by",
    InstitutionCount = "FL0303": "as many clients as institutions are needed",
    SplitColumn = "FL0304": "only a table has a split column",
    SplitOverlap = "FL0305": "a value stands for training and for testing",
    TooFewClasses = "FL0306": "a model needs two classes to tell apart",
    UnknownLabel = "FL0307": "a label the source does not have",
    ImageTooSmall = "FL0308": "images too small for the network",
    CrossDatasetAlone = "FL0309": "nothing to test across",
    CrossDatasetMismatch = "FL0310": "datasets that cannot share a model",
    LittleMemory = "FL0311": "probably too little memory to train in",
    TooManyRequired = "FL0312": "more clients required than a round selects",
    TooFewUpdates = "FL0313": "too few updates for the rule",
    NoTree = "FL0314": "updates that cannot be added up in a tree",
    NoCentralPrivacy = "FL0315": "a rule without central privacy",
    CountNoise = "FL0316": "too little noise on the count",
    NotMaskable = "FL0317": "updates that cannot be masked",
    TooFewMasked = "FL0318": "too few clients to hide an update among",
    NoAttribute = "FL0319": "an attribute the source does not have",
    ClassesLeftOver = "FL0320": "classes that cannot be dealt to the clients",
    ScheduleUnfit = "FL0321": "a schedule that its periods leave no time for",
    NoValidation = "FL0322": "early stopping without validation samples",
    Unfreezable = "FL0323": "tensors that cannot be frozen",
    ClassWeights = "FL0324": "class weights that do not fit the classes",
    MethodUnfit = "FL0325": "a method that does not fit network or optimiser",
    NotPrivate = "FL0326": "samples whose privacy cannot be promised",
    DeviceUnfit = "FL0327": "a device that does not fit what is asked for",
    NoEffect = "FL0328": "a setting that changes nothing",
    TwoSplits = "FL0329": "two ways to say what is held out",
    SiteClients = "FL0330": "a client that is not of one site",
    SiteName = "FL0331": "a site's name that is taken",
    SiteRequirements = "FL0332": "requirements that HTCondor cannot read",
    SitesUnfit = "FL0333": "what needs all data in one place",
    SiteFolder = "FL0334": "a site's folder that is not written in full",
    NotBuilt = "FL0401": "described, but not built yet",
    BrokenPromise = "FL0402": "a promise that cannot be kept",
    SweepPlace = "FL0501": "a place that a sweep cannot vary",
    SweepSize = "FL0502": "a sweep of too many points",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The page of a code (upper or lower case), or none when there is no such code.
pub fn explain(code: &str) -> Option<&'static str> {
    Code::ALL
        .iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(code.trim()))
        .map(|known| known.page())
}

/// Every code with its title, ascending.
pub fn all_codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    Code::ALL.iter().map(|code| (code.as_str(), code.title()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn codes_and_pages_match_one_to_one() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/codes");
        let pages: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let codes: BTreeSet<String> = all_codes().map(|(code, _)| format!("{code}.md")).collect();
        assert_eq!(pages, codes);
        assert_eq!(codes.len(), Code::ALL.len(), "a code is used twice");
    }

    #[test]
    fn every_page_opens_with_its_code_and_title_and_says_how_to_fix() {
        for code in Code::ALL {
            let page = code.page();
            assert_eq!(
                page.lines().next(),
                Some(format!("# {code}: {}", code.title()).as_str())
            );
            for part in ["\n## Example\n", "\n```yaml\n", "\n## What to do\n"] {
                assert!(page.contains(part), "{code}: {part:?} is missing");
            }
        }
    }

    #[test]
    fn codes_ascend_and_are_found_by_name() {
        assert!(
            Code::ALL
                .windows(2)
                .all(|pair| pair[0].as_str() < pair[1].as_str())
        );
        assert_eq!(explain("fl0201"), Some(Code::UnknownKey.page()));
        assert_eq!(explain("FL9999"), None);
    }
}
