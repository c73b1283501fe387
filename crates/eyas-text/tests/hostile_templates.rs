//! Whatever a template does, rendering ends, within bounds, with an error that has a code.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use eyas_core::{Message, Role};
use eyas_text::{ChatTemplate, RenderOptions};
use proptest::prelude::*;
use serde_json::json;

fn render(source: &str) -> eyas_core::Result<String> {
    let messages = [Message::new(Role::System, "be brief"), Message::user("hi")];
    ChatTemplate::new(source)?.render(&messages, &RenderOptions { bos_token: Some("<s>".into()), ..RenderOptions::default() })
}

#[test]
fn a_syntax_error_names_its_line() {
    let error = ChatTemplate::new("a\n{% for m in %}").unwrap_err();
    assert_eq!(error.code(), "bad-model");
    assert!(error.detail().contains("line 2"), "{error}");
}

#[test]
fn what_a_template_raises_is_bad_input() {
    for source in [
        "{{ raise_exception('no system role') }}",
        "{% macro f() %}{{ raise_exception('no system role') }}{% endmacro %}{{ f() }}",
    ] {
        let error = render(source).unwrap_err();
        assert_eq!((error.code(), error.detail()), ("bad-input", "no system role"));
    }
}

#[test]
fn the_time_is_given_or_asked_for() {
    let template = ChatTemplate::new("{{ strftime_now('%d %b %Y') }}").unwrap();
    let now = RenderOptions { now: Some(1_725_364_800), ..RenderOptions::default() };
    assert_eq!(template.render(&[], &now).unwrap(), "03 Sep 2024");
    assert_eq!(template.render(&[], &RenderOptions::default()).unwrap_err().code(), "bad-input");
}

#[test]
fn a_list_of_templates_has_a_default_and_one_for_tools() {
    let config = json!({"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]});
    let template = ChatTemplate::from_config(&config).unwrap().unwrap();
    assert_eq!(template.render(&[], &RenderOptions::default()).unwrap(), "d");
    assert_eq!(template.render(&[], &RenderOptions { tools: Some(json!([{}])), ..RenderOptions::default() }).unwrap(), "t");
    assert!(ChatTemplate::from_config(&json!({})).unwrap().is_none());
    assert_eq!(ChatTemplate::from_config(&json!({"chat_template": 1})).unwrap_err().code(), "bad-model");
    assert_eq!(ChatTemplate::from_config(&json!({"chat_template": []})).unwrap_err().code(), "bad-model");
}

#[test]
fn extra_variables_win() {
    let extra = json!({"enable_thinking": false, "bos_token": "B"}).as_object().unwrap().clone();
    let options = RenderOptions { bos_token: Some("<s>".into()), extra, ..RenderOptions::default() };
    assert_eq!(ChatTemplate::new("{{ bos_token }}{{ enable_thinking }}").unwrap().render(&[], &options).unwrap(), "BFalse");
}

#[test]
fn generation_marks_change_nothing() {
    let source = "{% for m in messages %}\n{% generation %}\n{{ m.content }}\n{% endgeneration %}\n{% endfor %}";
    assert_eq!(render(source).unwrap(), "be brief\nhi\n");
}

/// Templates that would run, nest or grow without end.
const BOMBS: &[&str] = &[
    // time
    "{% for a in range(10000) %}{% for b in range(10000) %}{% set x = b %}{% endfor %}{% endfor %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{% for i in range(9) %}{{ f(n) }}{% endfor %}{% endmacro %}{{ f(1) }}",
    "{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    // output
    "{% for a in range(10000) %}{% for b in range(100) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}{% endfor %}",
    // texts that grow
    "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x.replace('x', 'xx') %}{% endfor %}",
    "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x|replace('x', 'xx') %}{% endfor %}",
    "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x]|join('') %}{% endfor %}",
    "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x.join([ns.x, ns.x]) %}{% endfor %}",
    "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}{% endfor %}",
    "{% macro f(x, n) %}{{ f(x ~ x, n) }}{% endmacro %}{{ f('xxxxxxxxxxxxxxxx', 1) }}",
    "{{ 'x' * 100000000 * 100000000 }}",
    "{% set x = [1] * 100000000 %}{% set y = x * 10 %}",
    "{{ 'a\nb\nc'|indent(1000000000) }}",
    "{{ [1]|batch(1000000000, 'x')|list|length }}",
    "{{ '%1000000000d'|format(1) }}",
    "{% for a in ['xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 2000] %}{% for b in [a * 2000] %}{% for c in [b * 2000] %}{{ c }}{% endfor %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x * 2 %}{% endfor %}",
    "{% set x = messages[1:] %}{% for i in range(60) %}{% for j in range(60) %}{% set x = x * 9 * 9 * 9 * 9 * 9 * 9 * 9 * 9 %}{% endfor %}{% endfor %}",
    // values that nest
    "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
    "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns == ns }}",
    "{% set a = namespace() %}{% set b = namespace(x=a) %}{% set a.x = b %}{{ a == b }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ ns.x|upper }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|string|length }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ '' ~ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}",
];

#[test]
fn bombs_end_in_bad_model() {
    for source in BOMBS {
        let start = Instant::now();
        let error = render(source).expect_err(source);
        assert_eq!(error.code(), "bad-model", "{source}: {error}");
        println!("{source}: {:.1} s", start.elapsed().as_secs_f64());
    }
}

#[test]
fn other_templates_are_out_of_reach() {
    for source in ["{% include 'default' %}", "{% include '/etc/passwd' %}", "{% extends 'x' %}", "{% import 'x' as y %}"] {
        assert_eq!(render(source).unwrap_err().code(), "bad-model", "{source}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_rendered_or_refused(source in "(\\{%|%\\}|\\{\\{|\\}\\}|set |for |in |if |end|messages|x|\\[|\\]|\\(|\\)|\\||~|\\+|'|\"|-|#|\\PC){0,25}") {
        if let Err(error) = render(&source) {
            prop_assert!(["bad-model", "bad-input"].contains(&error.code()), "{}", error);
        }
    }
}
