//! Chat templates against what Jinja2 makes of them, configured as `transformers` configures it
//! (tests/reference/text/render_templates.py).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod oracle;

use std::{collections::BTreeMap, fs};

use eyas_core::Message;
use eyas_text::{ChatTemplate, RenderOptions};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Splits a context into messages and options.
fn parts(context: &Map<String, Value>) -> (Vec<Message>, RenderOptions) {
    let mut rest = context.clone();
    let messages = serde_json::from_value(rest.remove("messages").unwrap()).unwrap();
    let mut text = |key: &str| rest.remove(key).and_then(|value| value.as_str().map(str::to_owned));
    let (bos_token, eos_token) = (text("bos_token"), text("eos_token"));
    let options = RenderOptions {
        bos_token,
        eos_token,
        tools: rest.remove("tools"),
        documents: None,
        add_generation_prompt: rest.remove("add_generation_prompt").and_then(|flag| flag.as_bool()).unwrap_or(false),
        now: Some(1_725_364_800), // 2024-09-03 12:00, the contexts' date
        extra: rest,
    };
    (messages, options)
}

/// The only known difference: Python refuses to iterate over none, here that is an empty loop. Only this template, made
/// for tools, does so where there are none.
const NONE_IS_EMPTY: &str = "NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja";

#[test]
fn prompts_are_those_of_jinja2() {
    let Some(folder) = oracle::oracles("chat-templates") else { return };
    let goldens: Value =
        serde_json::from_str(&fs::read_to_string(oracle::goldens().join("chat_templates.json")).unwrap()).unwrap();
    let mut contexts: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for name in ["minja_ctx_simple", "minja_ctx_system", "minja_ctx_tool_use"] {
        let text = fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        contexts.insert(name.to_owned(), serde_json::from_str(&text).unwrap());
    }
    for (name, variant) in goldens["variants"].as_object().unwrap() {
        let mut context = contexts[variant["base"].as_str().unwrap()].clone();
        context.extend(variant["set"].as_object().unwrap().clone());
        contexts.insert(name.clone(), context);
    }
    let (mut equal, mut wrong) = (0, Vec::new());
    for (file, cases) in goldens["cases"].as_object().unwrap() {
        let template = ChatTemplate::new(&fs::read_to_string(folder.join(file)).unwrap()).unwrap();
        for (name, golden) in cases.as_object().unwrap() {
            let (messages, options) = parts(&contexts[name]);
            let rendered = template.render(&messages, &options);
            let is_equal = match &rendered {
                Ok(_) if golden["raises"] == "'NoneType' object is not iterable" => file == NONE_IS_EMPTY,
                Ok(text) => golden["sha256"] == format!("{:x}", Sha256::digest(text)) && golden["bytes"] == text.len(),
                // What a template raises on purpose is told word for word; other failures only have to be failures.
                Err(error) if golden["kind"] == "TemplateError" => {
                    error.code() == "bad-input" && golden["raises"] == error.detail()
                }
                Err(error) => golden["raises"].is_string() && error.code() == "bad-model",
            };
            if is_equal {
                equal += 1;
            } else {
                wrong.push(format!("{file} {name}: expected {golden}, found {rendered:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{equal} are equal, {} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!("{equal} prompts");
}
