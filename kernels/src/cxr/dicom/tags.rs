//! Every attribute that is ever read, and no other (PS3.6 chapter 6).

use std::fmt;

/// Group and element of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

impl Tag {
    /// The group.
    pub fn group(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:04X},{:04X})", self.0 >> 16, self.0 & 0xFFFF)
    }
}

/// Keyword of an attribute that is read.
pub(super) fn keyword(tag: Tag) -> &'static str {
    match READ.binary_search_by_key(&tag, |(tag, _)| *tag) {
        Ok(at) => READ[at].1,
        Err(_) => "an attribute",
    }
}

macro_rules! read {
    ($($name:ident = $tag:literal, $keyword:literal;)*) => {
        $(pub(super) const $name: Tag = Tag($tag);)*
        /// In the order of their tags.
        pub(super) const READ: &[(Tag, &str)] = &[$(($name, $keyword)),*];
    };
}

read! {
    TRANSFER_SYNTAX_UID = 0x0002_0010, "TransferSyntaxUID";
    SPECIFIC_CHARACTER_SET = 0x0008_0005, "SpecificCharacterSet";
    SOP_CLASS_UID = 0x0008_0016, "SOPClassUID";
    SOP_INSTANCE_UID = 0x0008_0018, "SOPInstanceUID";
    STUDY_DATE = 0x0008_0020, "StudyDate";
    MODALITY = 0x0008_0060, "Modality";
    MANUFACTURER = 0x0008_0070, "Manufacturer";
    INSTITUTION_NAME = 0x0008_0080, "InstitutionName";
    PATIENT_ID = 0x0010_0020, "PatientID";
    PATIENT_BIRTH_DATE = 0x0010_0030, "PatientBirthDate";
    PATIENT_SEX = 0x0010_0040, "PatientSex";
    PATIENT_AGE = 0x0010_1010, "PatientAge";
    BODY_PART_EXAMINED = 0x0018_0015, "BodyPartExamined";
    IMAGER_PIXEL_SPACING = 0x0018_1164, "ImagerPixelSpacing";
    NOMINAL_SCANNED_PIXEL_SPACING = 0x0018_2010, "NominalScannedPixelSpacing";
    VIEW_POSITION = 0x0018_5101, "ViewPosition";
    STUDY_INSTANCE_UID = 0x0020_000D, "StudyInstanceUID";
    SERIES_INSTANCE_UID = 0x0020_000E, "SeriesInstanceUID";
    INSTANCE_NUMBER = 0x0020_0013, "InstanceNumber";
    IMAGE_POSITION_PATIENT = 0x0020_0032, "ImagePositionPatient";
    IMAGE_ORIENTATION_PATIENT = 0x0020_0037, "ImageOrientationPatient";
    LATERALITY = 0x0020_0060, "Laterality";
    IMAGE_LATERALITY = 0x0020_0062, "ImageLaterality";
    SLICE_LOCATION = 0x0020_1041, "SliceLocation";
    SAMPLES_PER_PIXEL = 0x0028_0002, "SamplesPerPixel";
    PHOTOMETRIC_INTERPRETATION = 0x0028_0004, "PhotometricInterpretation";
    PLANAR_CONFIGURATION = 0x0028_0006, "PlanarConfiguration";
    NUMBER_OF_FRAMES = 0x0028_0008, "NumberOfFrames";
    ROWS = 0x0028_0010, "Rows";
    COLUMNS = 0x0028_0011, "Columns";
    PIXEL_SPACING = 0x0028_0030, "PixelSpacing";
    PIXEL_ASPECT_RATIO = 0x0028_0034, "PixelAspectRatio";
    BITS_ALLOCATED = 0x0028_0100, "BitsAllocated";
    BITS_STORED = 0x0028_0101, "BitsStored";
    HIGH_BIT = 0x0028_0102, "HighBit";
    PIXEL_REPRESENTATION = 0x0028_0103, "PixelRepresentation";
    PIXEL_PADDING_VALUE = 0x0028_0120, "PixelPaddingValue";
    PIXEL_PADDING_RANGE_LIMIT = 0x0028_0121, "PixelPaddingRangeLimit";
    BURNED_IN_ANNOTATION = 0x0028_0301, "BurnedInAnnotation";
    WINDOW_CENTER = 0x0028_1050, "WindowCenter";
    WINDOW_WIDTH = 0x0028_1051, "WindowWidth";
    RESCALE_INTERCEPT = 0x0028_1052, "RescaleIntercept";
    RESCALE_SLOPE = 0x0028_1053, "RescaleSlope";
    VOI_LUT_FUNCTION = 0x0028_1056, "VOILUTFunction";
    RED_DESCRIPTOR = 0x0028_1101, "RedPaletteColorLookupTableDescriptor";
    GREEN_DESCRIPTOR = 0x0028_1102, "GreenPaletteColorLookupTableDescriptor";
    BLUE_DESCRIPTOR = 0x0028_1103, "BluePaletteColorLookupTableDescriptor";
    RED_DATA = 0x0028_1201, "RedPaletteColorLookupTableData";
    GREEN_DATA = 0x0028_1202, "GreenPaletteColorLookupTableData";
    BLUE_DATA = 0x0028_1203, "BluePaletteColorLookupTableData";
    RED_SEGMENTED = 0x0028_1221, "SegmentedRedPaletteColorLookupTableData";
    GREEN_SEGMENTED = 0x0028_1222, "SegmentedGreenPaletteColorLookupTableData";
    BLUE_SEGMENTED = 0x0028_1223, "SegmentedBluePaletteColorLookupTableData";
    MODALITY_LUT_SEQUENCE = 0x0028_3000, "ModalityLUTSequence";
    LUT_DESCRIPTOR = 0x0028_3002, "LUTDescriptor";
    LUT_DATA = 0x0028_3006, "LUTData";
    VOI_LUT_SEQUENCE = 0x0028_3010, "VOILUTSequence";
    PIXEL_MEASURES_SEQUENCE = 0x0028_9110, "PixelMeasuresSequence";
    FRAME_VOI_LUT_SEQUENCE = 0x0028_9132, "FrameVOILUTSequence";
    PIXEL_VALUE_TRANSFORMATION_SEQUENCE = 0x0028_9145, "PixelValueTransformationSequence";
    PRESENTATION_LUT_SHAPE = 0x2050_0020, "PresentationLUTShape";
    SHARED_GROUPS = 0x5200_9229, "SharedFunctionalGroupsSequence";
    PER_FRAME_GROUPS = 0x5200_9230, "PerFrameFunctionalGroupsSequence";
    EXTENDED_OFFSET_TABLE = 0x7FE0_0001, "ExtendedOffsetTable";
    EXTENDED_OFFSET_TABLE_LENGTHS = 0x7FE0_0002, "ExtendedOffsetTableLengths";
    FLOAT_PIXEL_DATA = 0x7FE0_0008, "FloatPixelData";
    DOUBLE_FLOAT_PIXEL_DATA = 0x7FE0_0009, "DoubleFloatPixelData";
    PIXEL_DATA = 0x7FE0_0010, "PixelData";
}

/// Marks of items and sequences (PS3.5 7.5).
pub(super) const ITEM: Tag = Tag(0xFFFE_E000);
pub(super) const ITEM_END: Tag = Tag(0xFFFE_E00D);
pub(super) const SEQUENCE_END: Tag = Tag(0xFFFE_E0DD);
