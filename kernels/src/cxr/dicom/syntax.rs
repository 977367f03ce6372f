//! Transfer syntaxes: how a data set and its pixels are encoded (PS3.5 chapters 8 and 10, PS3.6 annex A).

use super::element::Encoding;

/// How frames are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Words as they are, frame after frame.
    Native,
    /// Words as they are, each frame in fragments.
    Encapsulated,
    /// PackBits (PS3.5 annex G).
    Rle,
    /// ITU-T T.81, lossy or lossless.
    Jpeg,
    /// ITU-T T.87.
    JpegLs,
    /// ITU-T T.800; high-throughput coding (T.814) is not decoded.
    Jpeg2000,
    /// Refused by name.
    Unsupported,
}

/// A transfer syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// Its UID.
    pub uid: &'static str,
    /// Its name in PS3.6.
    pub name: &'static str,
    /// How frames are encoded in it.
    pub coding: Coding,
}

/// Implicit VR Little Endian.
pub(super) const IMPLICIT: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
pub(super) const EXPLICIT: &str = "1.2.840.10008.1.2.1";
/// Deflated Explicit VR Little Endian.
pub(super) const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
/// Explicit VR Big Endian.
pub(super) const BIG: &str = "1.2.840.10008.1.2.2";

/// The syntax of a UID, if it is known.
pub(super) fn of(uid: &str) -> Option<&'static Syntax> {
    SYNTAXES.iter().find(|syntax| syntax.uid == uid)
}

/// How the data set is written; every syntax but two is explicit and little endian.
pub(super) fn encoding(uid: &str) -> Encoding {
    match uid {
        IMPLICIT => Encoding::IMPLICIT,
        BIG => Encoding::BIG,
        _ => Encoding::EXPLICIT,
    }
}

macro_rules! syntaxes {
    ($($uid:literal, $name:literal, $coding:ident;)*) => {
        /// Every transfer syntax with a name, in the order of PS3.6.
        pub const SYNTAXES: &[Syntax] = &[$(Syntax { uid: $uid, name: $name, coding: Coding::$coding }),*];
    };
}

syntaxes! {
    "1.2.840.10008.1.2", "Implicit VR Little Endian", Native;
    "1.2.840.10008.1.2.1", "Explicit VR Little Endian", Native;
    "1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian", Encapsulated;
    "1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian", Native;
    "1.2.840.10008.1.2.2", "Explicit VR Big Endian", Native;
    "1.2.840.10008.1.2.4.50", "JPEG Baseline (Process 1)", Jpeg;
    "1.2.840.10008.1.2.4.51", "JPEG Extended (Process 2 & 4)", Jpeg;
    "1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 & 5)", Unsupported;
    "1.2.840.10008.1.2.4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8)", Unsupported;
    "1.2.840.10008.1.2.4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 & 9)", Unsupported;
    "1.2.840.10008.1.2.4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 & 12)", Unsupported;
    "1.2.840.10008.1.2.4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 & 13)", Unsupported;
    "1.2.840.10008.1.2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)", Jpeg;
    "1.2.840.10008.1.2.4.58", "JPEG Lossless, Non-Hierarchical (Process 15)", Unsupported;
    "1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Process 16 & 18)", Unsupported;
    "1.2.840.10008.1.2.4.60", "JPEG Extended, Hierarchical (Process 17 & 19)", Unsupported;
    "1.2.840.10008.1.2.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 & 22)", Unsupported;
    "1.2.840.10008.1.2.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 & 23)", Unsupported;
    "1.2.840.10008.1.2.4.63", "JPEG Full Progression, Hierarchical (Process 24 & 26)", Unsupported;
    "1.2.840.10008.1.2.4.64", "JPEG Full Progression, Hierarchical (Process 25 & 27)", Unsupported;
    "1.2.840.10008.1.2.4.65", "JPEG Lossless, Hierarchical (Process 28)", Unsupported;
    "1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29)", Unsupported;
    "1.2.840.10008.1.2.4.70", "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])", Jpeg;
    "1.2.840.10008.1.2.4.80", "JPEG-LS Lossless Image Compression", JpegLs;
    "1.2.840.10008.1.2.4.81", "JPEG-LS Lossy (Near-Lossless) Image Compression", JpegLs;
    "1.2.840.10008.1.2.4.90", "JPEG 2000 Image Compression (Lossless Only)", Jpeg2000;
    "1.2.840.10008.1.2.4.91", "JPEG 2000 Image Compression", Jpeg2000;
    "1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)", Unsupported;
    "1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2 Multi-component Image Compression", Unsupported;
    "1.2.840.10008.1.2.4.94", "JPIP Referenced", Unsupported;
    "1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", Unsupported;
    "1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level", Unsupported;
    "1.2.840.10008.1.2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level", Unsupported;
    "1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level", Unsupported;
    "1.2.840.10008.1.2.4.101.1", "Fragmentable MPEG2 Main Profile / High Level", Unsupported;
    "1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", Unsupported;
    "1.2.840.10008.1.2.4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1", Unsupported;
    "1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", Unsupported;
    "1.2.840.10008.1.2.4.103.1", "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", Unsupported;
    "1.2.840.10008.1.2.4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", Unsupported;
    "1.2.840.10008.1.2.4.104.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", Unsupported;
    "1.2.840.10008.1.2.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", Unsupported;
    "1.2.840.10008.1.2.4.105.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", Unsupported;
    "1.2.840.10008.1.2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", Unsupported;
    "1.2.840.10008.1.2.4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", Unsupported;
    "1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1", Unsupported;
    "1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", Unsupported;
    "1.2.840.10008.1.2.4.110", "JPEG XL Lossless", Unsupported;
    "1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", Unsupported;
    "1.2.840.10008.1.2.4.112", "JPEG XL", Unsupported;
    "1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Image Compression (Lossless Only)", Unsupported;
    "1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)", Unsupported;
    "1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000 Image Compression", Unsupported;
    "1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced", Unsupported;
    "1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate", Unsupported;
    "1.2.840.10008.1.2.5", "RLE Lossless", Rle;
    "1.2.840.10008.1.2.6.1", "RFC 2557 MIME encapsulation", Unsupported;
    "1.2.840.10008.1.2.6.2", "XML Encoding", Unsupported;
    "1.2.840.10008.1.2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video", Unsupported;
    "1.2.840.10008.1.2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video", Unsupported;
    "1.2.840.10008.1.2.7.3", "SMPTE ST 2110-30 PCM Digital Audio", Unsupported;
    "1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", Unsupported;
}
