//! What the stored values of a frame mean: the grey-scale pipeline of DICOM PS3.4 N.2, as data.

/// From stored value to display: modality, VOI and presentation steps, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// What the channels are.
    pub colour: Colour,
    /// Where in a stored word the value is, and whether it has a sign (PS3.5 8.1.1).
    pub stored: Stored,
    /// Stored values to those of the modality, such as Hounsfield units (PS3.3 C.11.1).
    pub modality: Modality,
    /// Which of these are shown, from black to white (PS3.3 C.11.2).
    pub voi: Voi,
    /// Whether the lowest value is white: MONOCHROME1 (PS3.3 C.7.6.3.1.2), or a presentation LUT shape INVERSE.
    pub inverted: bool,
    /// Stored values that mean no image there, first and last (PS3.3 C.7.5.1.1.2); shown black, left out of percentiles.
    pub padding: Option<(i32, i32)>,
    /// Height of a pixel in widths of a pixel (PS3.3 C.7.6.3.1.7, 10.7); 1 where it is square or not said.
    pub aspect: f64,
}

impl Meaning {
    /// Of a picture without medical meaning: grey or colour values from 0 to the largest of `bits`.
    pub fn picture(bits: u32) -> Self {
        Self {
            colour: Colour::AsIs,
            stored: Stored {
                allocated: if bits > 8 { 16 } else { 8 },
                bits,
                high_bit: bits.saturating_sub(1),
                signed: false,
            },
            modality: Modality::Identity,
            voi: Voi::Full,
            inverted: false,
            padding: None,
            aspect: 1.0,
        }
    }
}

/// Where in a stored word the value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Bits of a word: 8 or 16.
    pub allocated: u32,
    /// Bits of the value, 1 to `allocated`; those above and below are to be ignored.
    pub bits: u32,
    /// The value's highest bit, `bits - 1` to `allocated - 1`.
    pub high_bit: u32,
    /// Whether the value is a two's complement.
    pub signed: bool,
}

/// What the channels of a frame are.
#[derive(Debug, Clone, PartialEq)]
pub enum Colour {
    /// One: grey; two: grey and alpha; three: RGB; four: RGB and alpha. Alpha is dropped; colour becomes luma.
    AsIs,
    /// YBR_FULL or YBR_FULL_422, brought to full resolution (PS3.3 C.7.6.3.1.2): the first channel is the luma.
    Ybr,
    /// PALETTE COLOR: the luma of each index, 16 bits, from `first` on; indices beyond are the nearest's.
    Palette {
        /// The index of the first.
        first: i32,
        /// Luma of the entries.
        luma: Vec<u16>,
    },
}

/// Stored values to those of the modality.
#[derive(Debug, Clone, PartialEq)]
pub enum Modality {
    /// They are the same.
    Identity,
    /// `slope · stored + intercept` (PS3.3 C.11.1.1.2).
    Linear {
        /// Slope; not 0.
        slope: f64,
        /// Intercept.
        intercept: f64,
    },
    /// A table (PS3.3 C.11.1.1.1).
    Lut(Lut),
}

/// A table of values; inputs before the first and after the last have the first's and the last's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lut {
    /// The first input.
    pub first: i32,
    /// The outputs, 1 to 65,536.
    pub values: Vec<u16>,
    /// Bits of an output, 8 to 16.
    pub bits: u32,
}

/// Which values of the modality are shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Voi {
    /// All that can be stored: for pictures.
    Full,
    /// A window (PS3.3 C.11.2.1.2).
    Window {
        /// Its centre.
        centre: f64,
        /// Its width: at least 1 for `Linear`, above 0 for the others.
        width: f64,
        /// Its shape.
        function: VoiFunction,
    },
    /// A table over modality values (PS3.3 C.11.2.1.1).
    Lut(Lut),
    /// The file says nothing: from one percentile to another of what the frame has, padding left out.
    Percentiles {
        /// Shown black, in percent.
        low: f64,
        /// Shown white, in percent.
        high: f64,
    },
}

/// The shape of a window (VOI LUT Function, PS3.3 C.11.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoiFunction {
    /// `LINEAR`, the default: C.11.2.1.2.1, with its halves and ones.
    Linear,
    /// `LINEAR_EXACT`: C.11.2.1.3.2.
    LinearExact,
    /// `SIGMOID`: C.11.2.1.3.1.
    Sigmoid,
}
