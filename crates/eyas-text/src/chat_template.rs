//! Chat templates: messages to a prompt.

use std::{error::Error as StdError, fmt, io, sync::Arc};

use eyas_core::{Error, Message, Result};
use minijinja::{Environment, ErrorKind, Value as JinjaValue, syntax::SyntaxConfig, value::Serde};
use serde_json::Value;

use crate::{RenderOptions, python_json, python_method, strftime, template_budget, template_guard};

/// Longest template source in bytes.
const MAX_SOURCE_BYTES: usize = 1 << 20;
/// Instructions that one rendering may take; a long conversation takes some ten thousand.
const MAX_INSTRUCTIONS: u64 = 5_000_000;
/// Text between tags that all instructions together may print; a template with longer texts gets fewer instructions.
const MAX_TEXT_BYTES: u64 = 1 << 29;
/// Frames that may be open at once; a macro call counts several.
const MAX_DEPTH: usize = 200;
/// Longest prompt in bytes.
const MAX_PROMPT_BYTES: usize = 16 << 20;

/// The names under which templates are kept.
const DEFAULT: &str = "default";
const TOOL_USE: &str = "tool_use";

/// A chat template in Jinja, rendered as `transformers` renders it.
///
/// Whatever a template does, rendering ends: it has a budget of instructions, of nesting, of every value's size and of
/// output, and what goes beyond is `bad-model`.
#[derive(Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    instructions: u64,
}

/// What a template said through `raise_exception`.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Raised {}

impl ChatTemplate {
    /// Compiles a template. A syntax error is `bad-model` and names the line.
    pub fn new(source: &str) -> Result<Self> {
        let mut template = Self { environment: environment()?, instructions: MAX_INSTRUCTIONS };
        template.add(DEFAULT, source)?;
        Ok(template)
    }

    /// Takes the `chat_template` of a `tokenizer_config.json`: a string, or a list of `{name, template}` of which
    /// `default` is used, and `tool_use` where tools are given. None where there is no template.
    pub fn from_config(tokenizer_config: &Value) -> Result<Option<Self>> {
        let entries = match tokenizer_config.get("chat_template") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(source)) => return Self::new(source).map(Some),
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                return Err(Error::bad_model("tokenizer_config.json has a chat_template that is neither a string nor a list"));
            }
        };
        let mut template = Self { environment: environment()?, instructions: MAX_INSTRUCTIONS };
        for name in [DEFAULT, TOOL_USE] {
            let entry = entries.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
            if let Some(source) = entry.and_then(|entry| entry.get("template")?.as_str()) {
                template.add(name, source)?;
            }
        }
        if template.environment.get_template(DEFAULT).is_err() {
            return Err(Error::bad_model("tokenizer_config.json has a list of chat templates, but none called \"default\""));
        }
        Ok(Some(template))
    }

    fn add(&mut self, name: &'static str, source: &str) -> Result<()> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(Error::bad_model(format!(
                "the chat template has {} bytes; expected at most {MAX_SOURCE_BYTES}",
                source.len()
            )));
        }
        let source = &template_guard::without_generation_marks(source);
        // Compiled as it is first, so that an error speaks of what the author wrote.
        self.environment.template_from_str(source).map_err(|error| explain("was not accepted", error))?;
        let guarded = template_guard::guard(source);
        let fuel = MAX_TEXT_BYTES / (guarded.longest_text as u64).max(1);
        self.instructions = self.instructions.min(fuel);
        self.environment.add_template_owned(name, guarded.source).map_err(|error| explain("could not be guarded", error))
    }

    /// Renders a conversation.
    ///
    /// A template's own `raise_exception` is `bad-input` with the template's message; any other failure is `bad-model`
    /// and names the line.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(self.instructions));
        template_budget::limit(&mut environment);
        let now = options.now;
        environment.add_function("strftime_now", move |format: &str| match now {
            Some(now) => Ok(strftime::format(format, now)),
            None => Err(raised("the chat template asks for the time; give RenderOptions::now")),
        });
        let has_tools = options.tools.as_ref().is_some_and(|tools| !tools.is_null());
        let name = if has_tools && environment.get_template(TOOL_USE).is_ok() { TOOL_USE } else { DEFAULT };
        let template = environment.get_template(name).map_err(|error| explain("is missing", error))?;
        let mut prompt = Prompt(Vec::new());
        template
            .render_captured_to(variables(messages, options), &mut prompt)
            .map_err(|error| explain("could not be rendered", error))?;
        String::from_utf8(prompt.0).map_err(|error| Error::internal("a prompt is not UTF-8").with_source(error))
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").finish_non_exhaustive()
    }
}

/// Jinja as `transformers` configures it.
fn environment() -> Result<Environment<'static>> {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    let syntax = syntax.map_err(|error| Error::internal("the syntax of templates was not accepted").with_source(error))?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_recursion_limit(MAX_DEPTH);
    environment.set_unknown_method_callback(python_method::call);
    template_budget::replace_filters(&mut environment);
    environment.add_filter("tojson", python_json::tojson);
    environment.add_function("raise_exception", |message: &str| -> std::result::Result<JinjaValue, minijinja::Error> {
        Err(raised(message))
    });
    Ok(environment)
}

fn raised(message: &str) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, "the template raised an exception").with_source(Raised(message.to_owned()))
}

fn variables(messages: &[Message], options: &RenderOptions) -> JinjaValue {
    let mut variables: Vec<(String, JinjaValue)> = vec![
        ("messages".to_owned(), JinjaValue::from(Serde(messages))),
        ("tools".to_owned(), JinjaValue::from(Serde(&options.tools))),
        ("documents".to_owned(), JinjaValue::from(Serde(&options.documents))),
        ("add_generation_prompt".to_owned(), options.add_generation_prompt.into()),
    ];
    for (name, token) in [("bos_token", &options.bos_token), ("eos_token", &options.eos_token)] {
        if let Some(token) = token {
            variables.push((name.to_owned(), token.as_str().into()));
        }
    }
    variables.extend(options.extra.iter().map(|(name, value)| (name.clone(), JinjaValue::from(Serde(value)))));
    JinjaValue::from_pairs(variables)
}

/// The error of a template, with what it raised, or with the line.
fn explain(what: &str, error: minijinja::Error) -> Error {
    let error = Arc::new(error);
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error.as_ref());
    while let Some(at) = cause {
        if let Some(Raised(message)) = at.downcast_ref() {
            return Error::bad_input(message.clone());
        }
        cause = at.source();
    }
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let detail = match error.kind() {
        ErrorKind::OutOfFuel => "it took too many instructions".to_owned(),
        kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
    };
    Error::bad_model(format!("the chat template {what}{line}: {detail}")).with_source(error)
}

/// Takes the prompt, up to its limit.
struct Prompt(Vec<u8>);

impl io::Write for Prompt {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_PROMPT_BYTES {
            return Err(io::Error::other(format!("the prompt is longer than {MAX_PROMPT_BYTES} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
