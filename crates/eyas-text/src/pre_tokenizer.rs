//! The pre-tokenizers of byte-level vocabularies, by the name a GGUF file gives them.

use eyas_core::{Error, Result};
use tokenizers::{
    SplitDelimiterBehavior,
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

/// GPT-2: contractions, then words, numbers and signs, each with at most one space before.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// A digit alone.
const DIGIT: &str = r"\p{N}";
/// Llama 3: digits in groups of up to three.
const LLAMA3: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2: as Llama 3, digits one by one.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 3.5: as Qwen 2, combining marks belong to words.
const QWEN35: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Mistral's Tekken: words split where lower case turns into upper case.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// GPT-4o: as Tekken, with contractions and digits in groups of up to three.
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// DeepSeek V3, after digits and CJK are split off.
const DEEPSEEK3: &str = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/// What a pre-tokenizer's name says about a byte-level vocabulary.
pub(crate) struct PreTokenizer {
    /// Patterns that split a text one after the other.
    patterns: &'static [&'static str],
    /// Whether a piece that is a token as a whole stays one even where no merges lead there.
    pub(crate) ignore_merges: bool,
    /// Whether the vocabulary begins texts with BOS where the file doesn't say.
    pub(crate) add_bos: bool,
    /// Whether a text is brought into composed form (NFC) before.
    pub(crate) composes: bool,
    /// What stands around texts.
    pub(crate) frames: TextFrame,
}

/// What stands around texts, as the model that a vocabulary was made for was trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextFrame {
    /// What the file says.
    Decoder,
    /// `<s>` and `</s>`, between two texts `</s>` twice.
    Roberta,
    /// `[CLS]` and `[SEP]`, also between two texts.
    ModernBert,
}

impl PreTokenizer {
    /// The pre-tokenizer called `name`, or `unsupported-model`.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let (patterns, whole_words_and_bos): (&'static [&'static str], bool) = match name {
            "gpt-2" | "phi-2" | "mpt" | "olmo" | "jais" | "trillion" | "granite-docling" | "gigachat" | "a.x-4.0" | "mellum"
            | "modern-bert" | "roberta-bpe" | "exaone4" | "jina-es" | "jina-de" | "jina-v2-es" | "jina-v2-de" => (&[GPT2], false),
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b" | "mellum2" => {
                (&[DIGIT, GPT2], false)
            }
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2" => (&[LLAMA3], true),
            "dbrx" | "smaug-bpe" | "glm4" | "chatglm-bpe" => (&[LLAMA3], false),
            "qwen2" | "deepseek-r1-qwen" | "kormo" | "megrez" | "stablelm2" | "hunyuan" | "solar-open" | "grok-2" => {
                (&[QWEN2], false)
            }
            "qwen35" => (&[QWEN35], false),
            "tekken" => (&[TEKKEN], true),
            "gpt-4o" | "llama4" | "kanana2" => (&[GPT4O], false),
            "deepseek-v3" | "hunyuan-dense" => (&[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3], false),
            _ => {
                return Err(Error::unsupported(format!(
                    "the GGUF vocabulary names the pre-tokenizer {name:?}, which is not known; use the model's tokenizer.json"
                )));
            }
        };
        let frames = match name {
            "roberta-bpe" => TextFrame::Roberta,
            "modern-bert" => TextFrame::ModernBert,
            _ => TextFrame::Decoder,
        };
        Ok(Self {
            patterns,
            ignore_merges: whole_words_and_bos,
            add_bos: whole_words_and_bos || frames == TextFrame::Roberta,
            composes: frames == TextFrame::ModernBert,
            frames,
        })
    }

    /// The splitting as the `tokenizers` crate does it, ending in the byte-level alphabet.
    pub(crate) fn build(&self) -> Result<PreTokenizerWrapper> {
        let mut steps: Vec<PreTokenizerWrapper> = Vec::with_capacity(self.patterns.len() + 1);
        for pattern in self.patterns {
            let split = Split::new(SplitPattern::Regex((*pattern).to_owned()), SplitDelimiterBehavior::Isolated, false)
                .map_err(|error| Error::internal(format!("the pattern {pattern:?} was not accepted")).with_source(error))?;
            steps.push(split.into());
        }
        steps.push(ByteLevel::new(false, true, false).into());
        Ok(Sequence::new(steps).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for name in ["gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "tekken", "gpt-4o", "deepseek-v3"] {
            PreTokenizer::named(name).unwrap().build().unwrap();
        }
    }

    #[test]
    fn an_unknown_name_is_named() {
        let error = PreTokenizer::named("default").err().unwrap();
        assert_eq!(error.code(), "unsupported-model");
        assert!(error.detail().contains("default"));
    }
}
