//! Text to tokens and back: tokenizers from `tokenizer.json` or from a GGUF vocabulary, a stream decoder that never
//! emits half a character, and chat templates.
//!
//! What it does not do: no training, no pairs, no padding or truncation, no offsets; no reading of model files (the
//! caller hands over bytes or a [`GgufVocab`]); no downloads. A GGUF vocabulary of a kind or with a pre-tokenizer that
//! is not known here is refused, never guessed. A template can't include other templates.
//!
//! ```
//! use eyas_core::Message;
//! use eyas_text::{ChatTemplate, EncodeOptions, RenderOptions, Tokenizer};
//!
//! # fn main() -> eyas_core::Result<()> {
//! let json = br#"{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
//!     "post_processor": null, "decoder": {"type": "Fuse"},
//!     "model": {"type": "BPE", "vocab": {"h": 0, "i": 1, "!": 2, "hi": 3}, "merges": [["h", "i"]]}}"#;
//! let tokenizer = Tokenizer::from_json(json, None)?;
//! let template = ChatTemplate::new("{% for m in messages %}{{ m.content }}!{% endfor %}")?;
//! let prompt = template.render(&[Message::user("hi")], &RenderOptions::default())?;
//! let ids = tokenizer.encode(&prompt, EncodeOptions { add_special: false, parse_special: true })?;
//! assert_eq!(ids, [3, 2]);
//! assert_eq!(tokenizer.decode(&ids, true)?, "hi!");
//! # Ok(())
//! # }
//! ```

mod byte_level;
mod charsmap;
mod chat_template;
mod encoder;
mod frame;
mod gguf_vocab;
mod joining;
mod library;
mod model_file;
mod normalizer;
mod pair_frame;
mod part;
mod pre_tokenizer;
mod python_json;
mod python_method;
mod render_options;
mod sentence_piece;
mod shield;
mod special_tokens;
mod splitting;
mod stream_decoder;
mod strftime;
mod template_budget;
mod template_guard;
mod token_table;
mod tokenizer;
mod tokenizer_json;
mod unigram_vocab;
mod word_piece_vocab;

pub use chat_template::ChatTemplate;
pub use gguf_vocab::{GgufVocab, merge_pair};
pub use pair_frame::EncodedPair;
pub use render_options::RenderOptions;
pub use stream_decoder::StreamDecoder;
pub use tokenizer::{EncodeOptions, Tokenizer};
