//! The body of a request to an OpenAI-compatible server, and what that server can't be asked for.

use eyas_core::{Error, ErrorKind, GenerateOptions, Message, Result};
use serde_json::{Map, Value, json};

use crate::CloudConfig;

/// OpenAI's API takes no more stop strings.
const MOST_STOPS: usize = 4;

/// What is to be asked, as far as the cloud is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) messages: &'a [Message],
    pub(crate) options: &'a GenerateOptions,
    /// The seed is the engine's own: it is not asked for.
    pub(crate) own_seed: bool,
    pub(crate) has_tools: bool,
    pub(crate) has_template_variables: bool,
}

/// A body and the options that it lacks.
#[derive(Debug)]
pub(crate) struct ChatBody {
    pub(crate) bytes: Vec<u8>,
    pub(crate) downgrades: Vec<String>,
}

/// The options that some cloud can't honour, by which an application names those that may be dropped for it.
pub(crate) const DROPPABLE: [&str; 8] =
    ["tools", "templateVariables", "logprobs", "logitBias", "stop", "topK", "minP", "repetitionPenalty"];

/// Writes the body. An option that the cloud can't honour is `cloud-refused`, unless the application lets it be dropped.
pub(crate) fn chat_body(config: &CloudConfig, question: Question<'_>) -> Result<ChatBody> {
    let Question { messages, options, .. } = question;
    let mut downgrades = Vec::new();
    for name in unsupported(config, question) {
        if !config.may_drop.iter().any(|dropped| dropped == name) {
            return Err(Error::new(
                ErrorKind::CloudRefused,
                format!(
                    "the cloud can't honour the option {name}; leave it out, keep the request local, or list it in cloud.mayDrop"
                ),
            ));
        }
        downgrades.push(name.to_owned());
    }
    let supports = |name: &str| !downgrades.iter().any(|dropped| dropped == name);
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    set("model", config.model.as_str().into());
    set("messages", serde_json::to_value(messages).map_err(|error| Error::internal(error.to_string()))?);
    set("stream", true.into());
    set("stream_options", json!({ "include_usage": true }));
    set("temperature", number(options.temperature));
    if options.top_p < 1.0 {
        set("top_p", number(options.top_p));
    }
    if let Some(max_tokens) = options.max_tokens {
        set("max_tokens", max_tokens.into());
    }
    if let Some(seed) = options.seed.filter(|_| !question.own_seed) {
        set("seed", seed.into());
    }
    if !options.stop.is_empty() && supports("stop") {
        set("stop", options.stop.clone().into());
    }
    for (name, value) in [("presence_penalty", options.presence_penalty), ("frequency_penalty", options.frequency_penalty)] {
        if value != 0.0 {
            set(name, number(value));
        }
    }
    if options.top_k > 0 && supports("topK") {
        set("top_k", options.top_k.into());
    }
    if options.min_p > 0.0 && supports("minP") {
        set("min_p", number(options.min_p));
    }
    if penalizes_repetition(options) && supports("repetitionPenalty") {
        set("repetition_penalty", number(options.repetition_penalty));
    }
    Ok(ChatBody { bytes: Value::Object(body).to_string().into_bytes(), downgrades })
}

/// The shortest decimal that is this `f32`: 0.7 must not leave as 0.699999988.
fn number(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// Whether the penalty is anything but exactly off.
fn penalizes_repetition(options: &GenerateOptions) -> bool {
    options.repetition_penalty.total_cmp(&1.0).is_ne()
}

fn unsupported(config: &CloudConfig, question: Question<'_>) -> Vec<&'static str> {
    let Question { options, has_tools, has_template_variables, .. } = question;
    let supports = |name: &str| config.supports.iter().any(|supported| supported == name);
    let is_asked = |name: &&str| match *name {
        "tools" => has_tools,
        "templateVariables" => has_template_variables,
        "logprobs" => options.logprobs,
        // Token ids are the local model's own.
        "logitBias" => !options.logit_bias.is_empty(),
        "stop" => options.stop.len() > MOST_STOPS,
        "topK" => options.top_k > 0 && !supports("topK"),
        "minP" => options.min_p > 0.0 && !supports("minP"),
        _ => penalizes_repetition(options) && !supports("repetitionPenalty"),
    };
    DROPPABLE.into_iter().filter(is_asked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(extra: &str) -> CloudConfig {
        serde_json::from_str(&format!(r#"{{"endpoint":"https://host/v1","model":"big"{extra}}}"#)).unwrap()
    }

    fn body(config: &CloudConfig, options: &GenerateOptions) -> Result<(Value, Vec<String>)> {
        let messages = [Message::user("hi")];
        let question =
            Question { messages: &messages, options, own_seed: false, has_tools: false, has_template_variables: false };
        let body = chat_body(config, question)?;
        Ok((serde_json::from_slice(&body.bytes).unwrap(), body.downgrades))
    }

    #[test]
    fn common_options_go_by_their_own_names() {
        let options = GenerateOptions {
            max_tokens: Some(5),
            temperature: 0.7,
            top_p: 0.9,
            seed: Some(3),
            stop: vec!["x".into()],
            presence_penalty: 0.5,
            ..Default::default()
        };
        let (body, downgrades) = body(&config(""), &options).unwrap();
        let expected = json!({ "model": "big", "messages": [{ "role": "user", "content": "hi" }], "stream": true,
            "stream_options": { "include_usage": true }, "temperature": 0.7, "top_p": 0.9, "max_tokens": 5, "seed": 3, "stop": ["x"],
            "presence_penalty": 0.5 });
        assert_eq!(body, expected);
        assert!(downgrades.is_empty());
    }

    #[test]
    fn nothing_is_dropped_silently() {
        let cases = [
            ("topK", GenerateOptions { top_k: 4, ..Default::default() }),
            ("minP", GenerateOptions { min_p: 0.1, ..Default::default() }),
            ("repetitionPenalty", GenerateOptions { repetition_penalty: 1.1, ..Default::default() }),
            ("logprobs", GenerateOptions { logprobs: true, ..Default::default() }),
            ("logitBias", GenerateOptions { logit_bias: [(1, 2.0)].into(), ..Default::default() }),
            ("stop", GenerateOptions { stop: vec!["a".into(); 5], ..Default::default() }),
        ];
        for (name, options) in cases {
            let error = body(&config(""), &options).unwrap_err();
            assert!(error.code() == "cloud-refused" && error.detail().contains(name), "{error}");
            let (body, downgrades) = body(&config(&format!(r#","mayDrop":[{name:?}]"#)), &options).unwrap();
            assert_eq!(downgrades, [name]);
            assert!(body.get("stop").is_none() && body.get("top_k").is_none() && body.get("logit_bias").is_none());
        }
        let (body, _) = body(&config(r#","supports":["topK"]"#), &GenerateOptions { top_k: 4, ..Default::default() }).unwrap();
        assert_eq!(body["top_k"], 4);
    }

    #[test]
    fn tools_and_template_variables_count_as_options() {
        let messages = [Message::user("hi")];
        for (has_tools, has_template_variables) in [(true, false), (false, true)] {
            let options = &GenerateOptions::default();
            let question = Question { messages: &messages, options, own_seed: false, has_tools, has_template_variables };
            assert_eq!(chat_body(&config(""), question).unwrap_err().code(), "cloud-refused");
        }
    }
}
