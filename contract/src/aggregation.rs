//! How updates travel and how a new global model is made of them: rules, privacy and encodings.
//!
//! Each is written as a word with settings, `fedadam:learning_rate=0.1,beta1=0.9`, on command lines and as tagged JSON,
//! `{"fedadam":{"learning_rate":0.1,"beta1":0.9}}`, by hand. A setting left out has the default its field states.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::argv::{ArgValue, InputFile, Role};

/// The rule that makes a new global model from updates.
///
/// Integer buffers are kept exact under every rule, and rules that step (with a learning rate) leave the running
/// statistics of batch normalisation to the plain mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// Sample-weighted mean (McMahan et al. 2017, arXiv:1602.05629).
    Fedavg,
    /// FedProx (Li et al. 2018, arXiv:1812.06127): its proximal term is the clients', its mean is FedAvg's.
    Fedprox,
    /// FedBN (Li et al. 2021, arXiv:2102.07623): FedAvg of all but the layers with running statistics, which stay as
    /// they are in the global model.
    Fedbn,
    /// FedAvg with server momentum (Hsu et al. 2019, arXiv:1909.06335).
    Fedavgm {
        /// Step size, more than 0.
        #[serde(default = "one")]
        learning_rate: f64,
        /// Share of the last step kept, from 0 to below 1.
        #[serde(default = "nine_tenths")]
        momentum: f64,
    },
    /// Adam on the server (Reddi et al. 2020, arXiv:2003.00295) with bias correction, as Flower's.
    Fedadam {
        /// Step size, more than 0.
        #[serde(default = "a_tenth")]
        learning_rate: f64,
        /// Decay of the first moment, from 0 to below 1.
        #[serde(default = "nine_tenths")]
        beta1: f64,
        /// Decay of the second moment, from 0 to below 1.
        #[serde(default = "ninety_nine_hundredths")]
        beta2: f64,
        /// Added to the root of the second moment, more than 0.
        #[serde(default = "a_thousandth")]
        tau: f64,
    },
    /// Yogi on the server (Reddi et al. 2020, arXiv:2003.00295), without bias correction.
    Fedyogi {
        /// Step size, more than 0.
        #[serde(default = "a_hundredth")]
        learning_rate: f64,
        /// Decay of the first moment, from 0 to below 1.
        #[serde(default = "nine_tenths")]
        beta1: f64,
        /// Decay of the second moment, from 0 to below 1.
        #[serde(default = "ninety_nine_hundredths")]
        beta2: f64,
        /// Added to the root of the second moment, more than 0.
        #[serde(default = "a_thousandth")]
        tau: f64,
    },
    /// Adagrad on the server (Reddi et al. 2020, arXiv:2003.00295).
    Fedadagrad {
        /// Step size, more than 0.
        #[serde(default = "a_tenth")]
        learning_rate: f64,
        /// Added to the root of the summed squares, more than 0.
        #[serde(default = "a_thousandth")]
        tau: f64,
    },
    /// Normalised averaging (Wang et al. 2020, arXiv:2007.07481); updates state [`crate::tensors::LOCAL_STEPS`].
    Fednova,
    /// Control variates (Karimireddy et al. 2019, arXiv:1910.06378); updates carry the change of theirs in tensors
    /// named with [`crate::tensors::CONTROL`] before the parameter's name.
    Scaffold {
        /// Step size of the server, more than 0.
        #[serde(default = "one")]
        learning_rate: f64,
        /// Number of clients in the federation, selected or not.
        clients: u64,
    },
    /// q-FedAvg (Li et al. 2019, arXiv:1905.10497); updates state [`crate::tensors::TRAIN_LOSS`], the loss of the
    /// global model on the client's samples.
    Qfedavg {
        /// How much clients with a large loss count more; 0 is FedAvg without sample counts.
        q: f64,
        /// The clients' step size, more than 0: the inverse of the Lipschitz constant.
        learning_rate: f64,
    },
    /// Coordinate-wise median (Yin et al. 2018, arXiv:1803.01498).
    Median,
    /// Coordinate-wise trimmed mean (Yin et al. 2018, arXiv:1803.01498).
    TrimmedMean {
        /// Share of the clients cut on each side, from 0 to below 0.5.
        #[serde(default = "a_fifth")]
        beta: f64,
    },
    /// The update closest to the others (Blanchard et al. 2017, arXiv:1703.02757).
    Krum {
        /// Number of clients that may send anything.
        byzantine: u64,
    },
    /// The sample-weighted mean of the updates closest to the others (Blanchard et al. 2017, arXiv:1703.02757).
    MultiKrum {
        /// Number of clients that may send anything.
        byzantine: u64,
        /// Number of updates averaged.
        keep: u64,
    },
    /// Updates chosen by repeated Krum, then the values nearest to their median (El Mhamdi et al. 2018,
    /// arXiv:1802.07927).
    Bulyan {
        /// Number of clients that may send anything.
        byzantine: u64,
    },
    /// Sample-weighted geometric median by smoothed Weiszfeld steps (Pillutla et al. 2019, arXiv:1912.13445).
    GeometricMedian {
        /// Most steps.
        #[serde(default = "hundred")]
        iterations: u64,
        /// Distances below this count as this, more than 0.
        #[serde(default = "a_millionth")]
        smoothing: f64,
    },
    /// FedAvg of updates whose difference from the global model is scaled down to at most this norm (Sun et al. 2019,
    /// arXiv:1911.07963).
    NormBound {
        /// Largest L2 norm of a difference, over all floating-point tensors together; more than 0.
        norm: f64,
    },
}

/// Differential privacy of a client's part in the model, given by the aggregator (McMahan et al. 2018,
/// arXiv:1710.06963): differences from the global model are scaled down to a norm, averaged without sample counts, and
/// Gaussian noise of standard deviation `noise_multiplier`·norm/updates is added to every floating-point value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CentralPrivacy {
    /// A norm that stays.
    Fixed {
        /// Largest L2 norm of a difference, more than 0.
        norm: f64,
        /// Standard deviation of the noise over the norm; 0 adds none and promises nothing.
        noise_multiplier: f64,
        /// Probability with which the promise may fail, more than 0, below 1.
        delta: f64,
    },
    /// A norm that follows a quantile of the norms (Andrew et al. 2021, arXiv:1905.03871), kept in the state file.
    Adaptive {
        /// The norm of the first round, more than 0.
        initial_norm: f64,
        /// The quantile, more than 0, below 1.
        #[serde(default = "a_half")]
        quantile: f64,
        /// Step size of the norm's logarithm, more than 0.
        #[serde(default = "a_fifth")]
        learning_rate: f64,
        /// Standard deviation of the noise on the number of updates below the norm; more than half the noise
        /// multiplier's inverse allows, or 0 where `noise_multiplier` is.
        count_noise: f64,
        /// Standard deviation of all noise together over the norm; 0 adds none and promises nothing.
        noise_multiplier: f64,
        /// Probability with which the promise may fail, more than 0, below 1.
        delta: f64,
    },
}

/// How an update's floating-point tensors are written: always as differences from the global model; running statistics
/// of batch normalisation and integers stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Encoding {
    /// In full precision.
    Delta,
    /// As half floats.
    Fp16,
    /// As brain floats.
    Bf16,
    /// As 8-bit integers times a scale per tensor.
    Int8,
    /// Only the largest by magnitude, in full precision, with their places.
    TopK {
        /// Share of each tensor's values that is sent, more than 0, at most 1.
        share: f64,
    },
}

fn one() -> f64 {
    1.0
}
fn nine_tenths() -> f64 {
    0.9
}
fn ninety_nine_hundredths() -> f64 {
    0.99
}
fn a_half() -> f64 {
    0.5
}
fn a_fifth() -> f64 {
    0.2
}
fn a_tenth() -> f64 {
    0.1
}
fn a_hundredth() -> f64 {
    0.01
}
fn a_thousandth() -> f64 {
    0.001
}
fn a_millionth() -> f64 {
    1e-6
}
fn hundred() -> u64 {
    100
}

/// What a rule has to know of a round's updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Their sum weighted by samples: they may be added up before, and their part in it may be bounded.
    Sum,
    /// Each of them.
    Each,
}

impl Strategy {
    /// The rule's word.
    pub fn word(&self) -> String {
        word_of(self)
    }

    /// What it has to know of a round's updates.
    pub fn needs(&self) -> Needs {
        match self {
            Strategy::Fedavg
            | Strategy::Fedprox
            | Strategy::Fedbn
            | Strategy::Fedavgm { .. }
            | Strategy::Fedadam { .. }
            | Strategy::Fedyogi { .. }
            | Strategy::Fedadagrad { .. } => Needs::Sum,
            Strategy::Fednova
            | Strategy::Scaffold { .. }
            | Strategy::Qfedavg { .. }
            | Strategy::Median
            | Strategy::TrimmedMean { .. }
            | Strategy::Krum { .. }
            | Strategy::MultiKrum { .. }
            | Strategy::Bulyan { .. }
            | Strategy::GeometricMedian { .. }
            | Strategy::NormBound { .. } => Needs::Each,
        }
    }

    /// Whether its next round depends on more than the global model.
    pub fn remembers(&self) -> bool {
        match self {
            Strategy::Fedavgm { .. }
            | Strategy::Fedadam { .. }
            | Strategy::Fedyogi { .. }
            | Strategy::Fedadagrad { .. }
            | Strategy::Scaffold { .. } => true,
            Strategy::Fedavg
            | Strategy::Fedprox
            | Strategy::Fedbn
            | Strategy::Fednova
            | Strategy::Qfedavg { .. }
            | Strategy::Median
            | Strategy::TrimmedMean { .. }
            | Strategy::Krum { .. }
            | Strategy::MultiKrum { .. }
            | Strategy::Bulyan { .. }
            | Strategy::GeometricMedian { .. }
            | Strategy::NormBound { .. } => false,
        }
    }

    fn settle(self) -> Result<Self, String> {
        match self {
            Strategy::Fedavg | Strategy::Fedprox | Strategy::Fedbn | Strategy::Fednova | Strategy::Median => {
            }
            Strategy::Fedavgm {
                learning_rate,
                momentum,
            } => {
                positive("learning_rate", learning_rate)?;
                decay("momentum", momentum)?;
            }
            Strategy::Fedadam {
                learning_rate,
                beta1,
                beta2,
                tau,
            }
            | Strategy::Fedyogi {
                learning_rate,
                beta1,
                beta2,
                tau,
            } => {
                positive("learning_rate", learning_rate)?;
                decay("beta1", beta1)?;
                decay("beta2", beta2)?;
                positive("tau", tau)?;
            }
            Strategy::Fedadagrad { learning_rate, tau } => {
                positive("learning_rate", learning_rate)?;
                positive("tau", tau)?;
            }
            Strategy::Scaffold {
                learning_rate,
                clients,
            } => {
                positive("learning_rate", learning_rate)?;
                at_least_one("clients", clients)?;
            }
            Strategy::Qfedavg { q, learning_rate } => {
                not_negative("q", q)?;
                positive("learning_rate", learning_rate)?;
            }
            Strategy::TrimmedMean { beta } => {
                within("beta", beta, (0.0..0.5).contains(&beta), "from 0 to below 0.5")?
            }
            Strategy::Krum { byzantine: _ } | Strategy::Bulyan { byzantine: _ } => {}
            Strategy::MultiKrum { byzantine: _, keep } => at_least_one("keep", keep)?,
            Strategy::GeometricMedian {
                iterations,
                smoothing,
            } => {
                at_least_one("iterations", iterations)?;
                positive("smoothing", smoothing)?;
            }
            Strategy::NormBound { norm } => positive("norm", norm)?,
        }
        Ok(self)
    }
}

impl CentralPrivacy {
    /// Standard deviation of the noise over the norm.
    pub fn noise_multiplier(&self) -> f64 {
        match *self {
            CentralPrivacy::Fixed { noise_multiplier, .. }
            | CentralPrivacy::Adaptive { noise_multiplier, .. } => noise_multiplier,
        }
    }

    /// Probability with which the promise may fail.
    pub fn delta(&self) -> f64 {
        match *self {
            CentralPrivacy::Fixed { delta, .. } | CentralPrivacy::Adaptive { delta, .. } => delta,
        }
    }

    fn settle(self) -> Result<Self, String> {
        match self {
            CentralPrivacy::Fixed {
                norm,
                noise_multiplier,
                delta,
            } => {
                positive("norm", norm)?;
                not_negative("noise_multiplier", noise_multiplier)?;
                share("delta", delta)?;
            }
            CentralPrivacy::Adaptive {
                initial_norm,
                quantile,
                learning_rate,
                count_noise,
                noise_multiplier,
                delta,
            } => {
                positive("initial_norm", initial_norm)?;
                share("quantile", quantile)?;
                positive("learning_rate", learning_rate)?;
                not_negative("noise_multiplier", noise_multiplier)?;
                not_negative("count_noise", count_noise)?;
                share("delta", delta)?;
                let enough = noise_multiplier == 0.0 || count_noise > noise_multiplier / 2.0;
                within(
                    "count_noise",
                    count_noise,
                    enough,
                    "more than half of `noise_multiplier`",
                )?;
            }
        }
        Ok(self)
    }
}

impl Encoding {
    fn settle(self) -> Result<Self, String> {
        match self {
            Encoding::Delta | Encoding::Fp16 | Encoding::Bf16 | Encoding::Int8 => {}
            Encoding::TopK { share } => within(
                "share",
                share,
                share > 0.0 && share <= 1.0,
                "more than 0, at most 1",
            )?,
        }
        Ok(self)
    }
}

fn within(name: &str, value: f64, ok: bool, range: &str) -> Result<(), String> {
    if ok && value.is_finite() {
        Ok(())
    } else {
        Err(format!("`{name}` is {value:?}, it must be {range}"))
    }
}

fn positive(name: &str, value: f64) -> Result<(), String> {
    within(name, value, value > 0.0, "more than 0")
}

fn not_negative(name: &str, value: f64) -> Result<(), String> {
    within(name, value, value >= 0.0, "0 or more")
}

fn decay(name: &str, value: f64) -> Result<(), String> {
    within(name, value, (0.0..1.0).contains(&value), "from 0 to below 1")
}

fn share(name: &str, value: f64) -> Result<(), String> {
    within(name, value, value > 0.0 && value < 1.0, "more than 0, below 1")
}

fn at_least_one(name: &str, value: u64) -> Result<(), String> {
    if value >= 1 {
        Ok(())
    } else {
        Err(format!("`{name}` is 0, it must be at least 1"))
    }
}

fn word_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => unreachable!("settings are tagged enums of finite numbers"),
    }
}

/// `word` or `word:name=value,name=value`.
fn write_tagged(value: &impl Serialize) -> String {
    let tag = word_of(value);
    match serde_json::to_value(value) {
        Ok(Value::Object(mut map)) => {
            let settings = match map.remove(&tag) {
                Some(Value::Object(settings)) => settings,
                _ => Map::new(),
            };
            let settings: Vec<String> = settings
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            // The plain alphabet of command lines has no `+`, which an exponent can do without.
            format!("{tag}:{}", settings.join(",")).replace("e+", "e")
        }
        _ => tag,
    }
}

/// JSON, a word, or a word with settings.
fn read_tagged<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = text.trim();
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let text = text.trim_matches('"');
    let (tag, settings) = text.split_once(':').unwrap_or((text, ""));
    let mut map = Map::new();
    for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("`{setting}` is not `name=value`"))?;
        let value: Value =
            serde_json::from_str(value).map_err(|_| format!("`{name}={value}` is not a number"))?;
        if map.insert(name.to_owned(), value).is_some() {
            return Err(format!("`{name}` is given twice"));
        }
    }
    let with_settings = || Value::Object(Map::from_iter([(tag.to_owned(), Value::Object(map.clone()))]));
    let plain = || Value::String(tag.to_owned());
    // A word without settings stands for all defaults where the rule has settings.
    let error = match serde_json::from_value(with_settings()) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    match serde_json::from_value(plain()) {
        Ok(value) if map.is_empty() => Ok(value),
        Ok(_) => Err(format!("`{tag}` has no settings")),
        Err(_) => Err(error.to_string()),
    }
}

/// Every rule, with the defaults of settings that have one.
const STRATEGIES: &str = r#""fedavg"  (or fedavg: quotes may be left out)
"fedprox"  (the plain mean; its proximal term is the clients')
"fedbn"  (layers with running statistics stay as they are)
{"fedavgm":{"learning_rate":1.0,"momentum":0.9}}  (or fedavgm:learning_rate=1.0,momentum=0.9)
{"fedadam":{"learning_rate":0.1,"beta1":0.9,"beta2":0.99,"tau":0.001}}
{"fedyogi":{"learning_rate":0.01,"beta1":0.9,"beta2":0.99,"tau":0.001}}
{"fedadagrad":{"learning_rate":0.1,"tau":0.001}}
"fednova"  (updates state `local_steps`)
{"scaffold":{"learning_rate":1.0,"clients":10}}  (updates carry tensors `control:NAME`)
{"qfedavg":{"q":0.2,"learning_rate":0.1}}  (updates state `train_loss`)
"median"
{"trimmed_mean":{"beta":0.2}}
{"krum":{"byzantine":2}}
{"multi_krum":{"byzantine":2,"keep":3}}
{"bulyan":{"byzantine":1}}
{"geometric_median":{"iterations":100,"smoothing":0.000001}}
{"norm_bound":{"norm":1.0}}"#;

const CENTRAL_PRIVACY: &str = r#"{"fixed":{"norm":1.0,"noise_multiplier":1.0,"delta":0.00001}}
{"adaptive":{"initial_norm":0.1,"quantile":0.5,"learning_rate":0.2,"count_noise":2.0,"noise_multiplier":1.0,"delta":0.00001}}"#;

const ENCODINGS: &str = r#""delta"
"fp16"
"bf16"
"int8"
{"top_k":{"share":0.01}}"#;

macro_rules! tagged_values {
    ($($kind:ty, $forms:ident;)*) => { $(
        impl ArgValue for $kind {
            const FORMS: &'static str = $forms;
            fn write(&self) -> String {
                write_tagged(self)
            }
            fn read(word: &str) -> Result<Self, String> {
                read_tagged::<Self>(word)?.settle()
            }
        }
    )* };
}

tagged_values! {
    Strategy, STRATEGIES;
    CentralPrivacy, CENTRAL_PRIVACY;
    Encoding, ENCODINGS;
}

/// A rule as given to a job: written out, or in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum StrategyArg {
    /// Written out.
    Given(Strategy),
    /// A file that holds it as JSON.
    File(InputFile),
}

impl From<Strategy> for StrategyArg {
    fn from(strategy: Strategy) -> Self {
        StrategyArg::Given(strategy)
    }
}

impl ArgValue for StrategyArg {
    const FORMS: &'static str = Strategy::FORMS;
    fn write(&self) -> String {
        match self {
            StrategyArg::Given(strategy) => strategy.write(),
            // A path never reads as a rule: rules have no slash.
            StrategyArg::File(file) if file.as_str().contains('/') => file.write(),
            StrategyArg::File(file) => format!("./{}", file.write()),
        }
    }
    fn read(word: &str) -> Result<Self, String> {
        let is_path = !word.starts_with(['{', '"']) && (word.contains('/') || word.ends_with(".json"));
        if is_path {
            let word = word.strip_prefix("./").unwrap_or(word);
            InputFile::read(word).map(StrategyArg::File)
        } else {
            let hint = |reason| format!("{reason} (the path of a file has a `/` or ends in `.json`)");
            Strategy::read(word).map(StrategyArg::Given).map_err(hint)
        }
    }
    fn role(&self) -> Role<'_> {
        match self {
            StrategyArg::Given(_) => Role::Setting,
            StrategyArg::File(file) => file.role(),
        }
    }
}

/// A pattern of tensor names: `*` stands for any number of characters, all others for themselves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NamePattern(String);

impl NamePattern {
    /// Whether the whole of `name` is as the pattern says.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else {
            return rest.is_empty();
        };
        for part in middle {
            match rest.find(part) {
                Some(place) => rest = &rest[place + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NamePattern {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl ArgValue for NamePattern {
    fn write(&self) -> String {
        crate::argv::escape(&self.0)
    }
    fn read(word: &str) -> Result<Self, String> {
        crate::argv::unescape(word).map(Self)
    }
}

#[cfg(test)]
mod tests;
