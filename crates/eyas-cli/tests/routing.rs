//! `eval` and `calibrate`, as a person calls them: eyas-nano on a few requests, and a log whose threshold can be found by hand.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::{Value, json};

fn nano() -> String {
    format!("{}/../../www/eyas/models/eyas-nano", env!("CARGO_MANIFEST_DIR"))
}

/// A file of this test's own.
fn scratch(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    path.to_str().unwrap().to_owned()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eyas-cli")).args(arguments).args(["--json"]).output().unwrap()
}

fn json_of(arguments: &[&str]) -> Value {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n") + "\n"
}

/// One line of a log.
fn logged(task: &str, quality: f64, mean_logprob: f64) -> Value {
    json!({
        "task": task, "model": "ab", "quantize": "f16", "localQuality": quality, "cloudQuality": 1.0, "cloudIsGold": true,
        "signals": { "meanLogprob": mean_logprob, "minLogprob": null, "q10Logprob": null, "meanEntropy": 0.5, "firstMargin": 0.5,
            "structure": 1.0, "grounding": 1.0 },
        "inputChars": 30, "tokens": 40, "bytes": 0, "ms": 2.0, "cloudMs": null,
    })
}

#[test]
fn eval_logs_what_the_model_answered_and_how_certain_it_was() {
    let (tasks, out) = (scratch("tasks.jsonl"), scratch("log.jsonl"));
    let input = "what is the weather in oslo";
    fs::write(&tasks, json!([{ "role": "user", "content": input }]).to_string()).unwrap();
    let gold = json_of(&["generate", "--model", &nano(), "--device", "cpu", "--messages", &tasks])["text"].clone();
    let rows = [
        json!({ "task": "right", "input": input, "gold": gold }),
        json!({ "task": "wrong", "input": input, "gold": "{}", "cloud": "{" }),
        json!({ "task": "foreign", "input": "how do i change a tyre", "gold": null }),
    ];
    fs::write(&tasks, lines(&rows)).unwrap();
    let arguments = ["eval", "--model", &nano(), "--device", "cpu", "--tasks", &tasks, "--out", &out, "--expects-json"];
    let report = json_of(&arguments);
    assert_eq!(report["examples"], 3);
    let log: Vec<Value> = fs::read_to_string(&out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let qualities: Vec<_> = log.iter().map(|row| (row["localQuality"].as_f64(), row["cloudQuality"].as_f64())).collect();
    assert_eq!(qualities, [(Some(1.0), Some(1.0)), (Some(0.0), Some(0.0)), (Some(0.0), Some(1.0))]);
    assert_eq!((&log[0]["signals"], &log[0]["signals"]["structure"]), (&log[1]["signals"], &json!(1.0)));
    assert!(log[0]["signals"]["meanLogprob"].as_f64().unwrap() > log[2]["signals"]["meanLogprob"].as_f64().unwrap());
    assert_eq!((log[0]["inputChars"].as_u64(), log[0]["bytes"].as_u64()), (Some(27), Some(0)));
    assert_eq!((&log[0]["cloudIsGold"], &log[1]["cloudIsGold"]), (&json!(true), &json!(false)));

    fs::write(&tasks, "{\"task\":\"t\"}\n").unwrap();
    assert!(refusal(&arguments).contains("line 1"));
    fs::remove_file(tasks).unwrap();
    fs::remove_file(out).unwrap();
}

/// A server that answers one request a line of `answers`, each in chunks or until the connection's end, and returns the requests.
fn serve(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1", listener.local_addr().unwrap());
    let served = answers.into_iter().map(move |answer| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        let is_whole = |request: &[u8]| {
            let text = String::from_utf8_lossy(request);
            text.split_once("\r\n\r\n").is_some_and(|(head, body)| head.contains(&format!("content-length: {}", body.len())))
        };
        while !is_whole(&request) {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "{}", String::from_utf8_lossy(&request));
            request.extend_from_slice(&buffer[..length]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (endpoint, std::thread::spawn(move || served.collect()))
}

#[test]
fn eval_asks_a_cloud_model_too() {
    let (tasks, out) = (scratch("cloud-tasks.jsonl"), scratch("cloud-log.jsonl"));
    let rows = [json!({ "task": "t", "input": "one", "gold": "right" }), json!({ "task": "t", "input": "two", "gold": "wrong" })];
    fs::write(&tasks, lines(&rows)).unwrap();
    let event = r#"{"choices":[{"index":0,"delta":{"content":"right"},"finish_reason":"stop"}]}"#;
    let stream = format!("data: {event}\n\ndata: [DONE]\n\n");
    let (first, rest) = stream.split_at(20);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    let (endpoint, server) = serve(vec![
        "HTTP/1.1 429 Too Many\r\nretry-after-ms: 5\r\ncontent-length: 2\r\n\r\n{}".into(),
        format!(
            "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x};note\r\n{rest}\r\n0\r\n\r\n",
            first.len(),
            rest.len()
        ),
        format!("{head}\r\n{stream}"),
    ]);
    let nano = nano();
    let model = ["eval", "--model", &nano, "--device", "cpu", "--tasks", &tasks, "--out", &out, "--max-tokens", "4"];
    let report = json_of(&[&model[..], &["--cloud", &endpoint, "--cloud-model", "big"]].concat());
    assert_eq!((report["cloudQuality"].as_f64(), report["localQuality"].as_f64()), (Some(0.5), Some(0.0)));
    let requests = server.join().unwrap();
    assert!(
        requests.iter().all(|request| request.starts_with("POST /v1/chat/completions HTTP/1.1") && request.contains("\"big\""))
    );
    let log: Vec<Value> = fs::read_to_string(&out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let body = |request: &String| request.split_once("\r\n\r\n").unwrap().1.len() as u64;
    let bytes: Vec<_> = log.iter().map(|row| row["bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes, [body(&requests[0]) + body(&requests[1]), body(&requests[2])]);
    assert!(log.iter().all(|row| row["cloudIsGold"] == json!(false) && row["cloudMs"].as_f64().unwrap() > 0.0));

    let refused = |url: &str| refusal(&[&model[..], &["--cloud", url, "--cloud-model", "big"]].concat());
    assert!(refused("https://cloud.test/v1").contains("no TLS"));
    assert!(refused("http://cloud.test/v1").contains("https"));
    assert!(refusal(&[&model[..], &["--cloud", &endpoint]].concat()).contains("--cloud-model"));
    let token = ["--cloud", &endpoint, "--cloud-model", "big", "--cloud-token", "EYAS_TEST_NO_SUCH_TOKEN"];
    assert!(refusal(&[&model[..], &token].concat()).contains("EYAS_TEST_NO_SUCH_TOKEN"));
    fs::remove_file(tasks).unwrap();
    fs::remove_file(out).unwrap();
}

#[test]
fn calibrate_finds_the_threshold_and_draws_the_report() {
    let (log, out, report) = (scratch("calibrate.jsonl"), scratch("calibration.json"), scratch("report.md"));
    // Right exactly where the signal is at least -1; foreign input is below it.
    let rows: Vec<Value> = (0..400)
        .map(|i| {
            let signal = -f64::from(i) / 200.0;
            logged("t", f64::from(u8::from(signal >= -1.0)), signal)
        })
        .chain((0..50).map(|i| logged("foreign", 0.0, -1.5 - f64::from(i) / 50.0)))
        .collect();
    fs::write(&log, lines(&rows)).unwrap();
    let risks = scratch("risks.json");
    let files = ["--log", &log, "--out", &out, "--report", &report, "--risks", &risks];
    let arguments = [&["calibrate", "--task", "t", "--alpha", "0.05", "--foreign", "foreign"][..], &files].concat();
    let made = json_of(&arguments);
    let threshold = &made["threshold"];
    // 200 examples: 0.05 · 201 - 1 = 9.05, so the nine most certain wrong answers may stay; wrong ones lie 1/200 apart in all, 1/100 in a half.
    let value = threshold["threshold"].as_f64().unwrap();
    assert!(value < -1.0 && value > -1.2, "{value}");
    assert_eq!(
        (threshold["model"].as_str(), threshold["signal"].as_str(), threshold["examples"].as_u64()),
        (Some("ab"), Some("meanLogprob"), Some(200))
    );
    assert!(made["test"]["risk"].as_f64().unwrap() < 0.1);
    assert_eq!(made["foreignDeferralRate"].as_f64(), Some(1.0));
    let file: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(file["thresholds"], json!([threshold]));
    let markdown = fs::read_to_string(&report).unwrap();
    let drawing = report.replace(".md", ".svg");
    for words in [
        "gold labels",
        "| meanLogprob |",
        "| prompt length |",
        "| random |",
        "| oracle |",
        "| always local |",
        "| always cloud |",
    ] {
        assert!(markdown.contains(words), "{words}: {markdown}");
    }
    assert!(markdown.contains(&format!("({})", drawing.rsplit('/').next().unwrap())));
    assert!(fs::read_to_string(&drawing).unwrap().matches("<path").count() >= 5);

    let table: Value = serde_json::from_str(&fs::read_to_string(&risks).unwrap()).unwrap();
    let rows = table["rows"].as_array().unwrap();
    let at = rows.iter().find(|row| row["threshold"]["alpha"] == json!(0.05)).unwrap();
    assert_eq!(at["threshold"], *threshold);
    assert_eq!((&at["testedRisk"], &at["foreignDeferralRate"]), (&made["test"]["risk"], &json!(1.0)));
    assert!(rows.windows(2).all(|pair| pair[0]["testedDeferralRate"].as_f64() >= pair[1]["testedDeferralRate"].as_f64()));
    assert!(rows.last().unwrap()["threshold"]["deferralRate"].as_f64().unwrap() < 0.1);
    assert_eq!(table["tested"], 200);
    let curve = table["curve"].as_array().unwrap();
    assert_eq!((curve.len(), curve[100].as_f64()), (101, Some(1.0)));
    assert!((curve[0].as_f64().unwrap() - 0.5).abs() < 0.1);

    // A second task joins the file, the same one takes its own place.
    json_of(&["calibrate", "--log", &log, "--task", "t", "--alpha", "0.1", "--out", &out]);
    let file: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!((file["thresholds"].as_array().unwrap().len(), &file["thresholds"][0]["alpha"]), (1, &json!(0.1)));
    for file in [log, out, report, drawing, risks] {
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn calibrate_says_what_cannot_be_done() {
    let (log, out) = (scratch("refused.jsonl"), scratch("refused.json"));
    fs::write(&log, lines(&[logged("t", 1.0, -0.1), logged("t", 0.0, -0.2)])).unwrap();
    let base = ["calibrate", "--log", &log, "--out", &out];
    let with = |more: &[&str]| refusal(&[&base[..], more].concat());
    assert!(with(&["--task", "t", "--alpha", "0.05"]).contains("at least 19"));
    assert!(with(&["--task", "other", "--alpha", "0.05"]).contains("no example of the task"));
    assert!(with(&["--task", "t", "--alpha", "0.05", "--signal", "certainty"]).contains("meanLogprob"));
    let mut other = logged("t", 1.0, -0.1);
    other["model"] = json!("cd");
    fs::write(&log, lines(&[logged("t", 1.0, -0.1), other])).unwrap();
    assert!(with(&["--task", "t", "--alpha", "0.5"]).contains("mixes models"));
    assert!(!PathBuf::from(&out).exists());
    fs::write(&out, "not json").unwrap();
    fs::write(&log, lines(&vec![logged("t", 1.0, -0.1); 60])).unwrap();
    assert!(with(&["--task", "t", "--alpha", "0.2"]).contains("refused.json"));
    fs::remove_file(log).unwrap();
    fs::remove_file(out).unwrap();
}
