//! The `tokenizers` crate's parts, put together without what a single text's ids don't need.

use eyas_core::{Error, Result};
use tokenizers::{
    AddedToken, AddedVocabulary, Model, ModelWrapper, NormalizedString, NormalizerWrapper, OffsetReferential, OffsetType,
    PreTokenizer, PreTokenizerWrapper,
};

use crate::shield::{is_marked, is_no_mark};

/// Text to ids: added tokens, normalizer, pre-tokenizer, model.
pub(crate) struct Library {
    pub(crate) added: AddedVocabulary,
    pub(crate) model: ModelWrapper,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
}

impl Library {
    /// Puts parts together. The tokens are added in their order; one that the model does not know gets the next free id.
    pub(crate) fn new(
        model: ModelWrapper,
        normalizer: Option<NormalizerWrapper>,
        pre_tokenizer: Option<PreTokenizerWrapper>,
        tokens: Vec<AddedToken>,
    ) -> Result<Self> {
        let mut added = AddedVocabulary::new();
        added
            .add_tokens(tokens, &model, normalizer.as_ref())
            .map_err(|error| Error::bad_model("the tokenizer's added tokens were not accepted").with_source(error))?;
        Ok(Self { added, model, normalizer, pre_tokenizer })
    }

    /// The ids of a text; with `parse_special`, written-out special tokens become their ids.
    pub(crate) fn encode(&mut self, text: &str, parse_special: bool) -> Result<Vec<u32>> {
        self.added.set_encode_special_tokens(!parse_special);
        let failed = |error: tokenizers::Error| Error::bad_input(format!("the text could not be tokenized: {error}"));
        let mut pieces = self.added.extract_and_normalize(self.normalizer.as_ref(), text);
        if is_marked(text) {
            // Tokens were found by now; what follows concerns only what lies between.
            let unmark = |piece: &mut NormalizedString| {
                piece.filter(is_no_mark);
                Ok(())
            };
            pieces.normalize(unmark).map_err(failed)?;
        }
        if let Some(pre_tokenizer) = &self.pre_tokenizer {
            pre_tokenizer.pre_tokenize(&mut pieces).map_err(failed)?;
        }
        pieces.tokenize(|piece| self.model.tokenize(piece.get())).map_err(failed)?;
        let splits = pieces.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        Ok(splits.into_iter().filter_map(|(_, _, tokens)| tokens.as_ref()).flatten().map(|token| token.id).collect())
    }

    /// The id of a token, added or the model's own.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.added.token_to_id(token, &self.model)
    }
}
