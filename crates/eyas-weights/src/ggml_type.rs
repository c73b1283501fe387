//! ggml's numbers for tensor formats.

use crate::SourceKind;

/// The format with this number, where it can be read.
pub(crate) fn source_kind(type_id: u32) -> Option<SourceKind> {
    match type_id {
        0 => Some(SourceKind::F32),
        1 => Some(SourceKind::F16),
        2 => Some(SourceKind::Q4_0),
        3 => Some(SourceKind::Q4_1),
        6 => Some(SourceKind::Q5_0),
        7 => Some(SourceKind::Q5_1),
        8 => Some(SourceKind::Q8_0),
        10 => Some(SourceKind::Q2K),
        11 => Some(SourceKind::Q3K),
        12 => Some(SourceKind::Q4K),
        13 => Some(SourceKind::Q5K),
        14 => Some(SourceKind::Q6K),
        20 => Some(SourceKind::Iq4Nl),
        30 => Some(SourceKind::Bf16),
        _ => None,
    }
}

/// What the format with this number is called.
pub(crate) fn name(type_id: u32) -> String {
    let name = match type_id {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        4 => "Q4_2 (withdrawn)",
        5 => "Q4_3 (withdrawn)",
        6 => "Q5_0",
        7 => "Q5_1",
        8 => "Q8_0",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        12 => "Q4_K",
        13 => "Q5_K",
        14 => "Q6_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        30 => "BF16",
        31 => "Q4_0_4_4 (withdrawn)",
        32 => "Q4_0_4_8 (withdrawn)",
        33 => "Q4_0_8_8 (withdrawn)",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => return format!("the unknown type {type_id}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_has_its_own_name() {
        for type_id in 0..64 {
            if let Some(kind) = source_kind(type_id) {
                assert_eq!(kind.to_string(), name(type_id));
            }
        }
        assert_eq!((name(12).as_str(), source_kind(12)), ("Q4_K", Some(SourceKind::Q4K)));
        assert_eq!((name(18).as_str(), source_kind(18)), ("IQ3_XXS", None));
    }
}
