//! Scripts too long for a command line, which reach PowerShell over standard input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::time::Duration;

use harness::{BOOTSTRAP, HOST, Sim, drain, start_powershell};
use msp_winsim::Profile;

/// A script of at least `length` characters that prints `line` at its end.
fn long_script(length: usize, line: &str) -> String {
    let filler = "# a comment that a person could have written, with an umlaut: ü\n";
    format!("{}Write-Output '{line}'\nexit 7\n", filler.repeat(length / filler.chars().count() + 1))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_far_too_long_for_a_command_line_runs_whole_however_it_is_cut_up() {
    let sim = Sim::start(Profile::Member).await;
    for (length, chunk) in [(20_001, 64 * 1024), (20_001, 1_000), (200_000, 64 * 1024), (200_000, 100 * 1024)] {
        let output = sim.over_standard_input(&long_script(length, "größer"), chunk).await;
        let shown = (text(&output.stdout), text(&output.stderr), output.exit_code);
        assert_eq!(shown, ("größer\r\n".to_owned(), String::new(), 7), "{length} in pieces of {chunk}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_beyond_the_envelope_limit_is_refused() {
    let sim = Sim::start(Profile::Member).await;
    let shell = sim.client.open_shell(HOST).await.unwrap();
    let id = start_powershell(&shell, "@($input).Count").await;
    assert!(shell.send_input(&id, &[b'x'; 120_000], true).await.is_err());
    shell.send_input(&id, &[b'x'; 64 * 1024], true).await.unwrap();
    assert_eq!(text(&drain(&shell, &id).await.stdout), "1\r\n", "what was refused was not read");
    assert!(shell.send_input(&id, b"late", true).await.is_ok(), "a command that has ended reads nothing");
    shell.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn input_is_its_lines_for_which_the_script_waits_and_functions_have_none_of_it() {
    let sim = Sim::start(Profile::Member).await;
    let shell = sim.client.open_shell(HOST).await.unwrap();
    let script = "function Peek { @($input).Count }\nPeek\n@($input) -join '|'\n@($input).Count";
    let id = start_powershell(&shell, script).await;
    shell.send_input(&id, b"one\r\ntwo\n", false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    shell.send_input(&id, "\ndr\u{fc}ben".as_bytes(), false).await.unwrap();
    shell.send_input(&id, b"", true).await.unwrap();
    assert_eq!(text(&drain(&shell, &id).await.stdout), "0\r\none|two||dr\u{fc}ben\r\n0\r\n");

    let id = start_powershell(&shell, "@($input).Count").await;
    shell.send_input(&id, b"", true).await.unwrap();
    assert_eq!(text(&drain(&shell, &id).await.stdout), "0\r\n", "an input without bytes is empty");
    shell.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_waits_for_its_input_can_be_stopped() {
    let sim = Sim::start(Profile::Member).await;
    let shell = sim.client.open_shell(HOST).await.unwrap();
    let id = start_powershell(&shell, BOOTSTRAP).await;
    shell.send_input(&id, b"V3JpdGU", false).await.unwrap();
    shell.signal_ctrl_c(&id).await.unwrap();
    let output = drain(&shell, &id).await;
    assert_ne!(output.exit_code, 0);
    assert!(output.stdout.is_empty());
    shell.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_in_a_script_from_standard_input_name_its_own_lines() {
    let sim = Sim::start(Profile::Member).await;
    let failing = "$x = 1\n\n  Get-Unicorn -Colour $x\n";
    let output = sim.over_standard_input(failing, 4096).await;
    let stderr = text(&output.stderr);
    assert_eq!(output.exit_code, 1);
    assert!(stderr.contains("At line:3 char:3") && stderr.contains("+   Get-Unicorn -Colour $x"), "{stderr}");

    // Text that does not parse is an error of the call, which quotes the line.
    let output = sim.over_standard_input("$x = 1\nif ($x { }\n", 4096).await;
    let stderr = text(&output.stderr);
    assert_eq!(output.exit_code, 1);
    assert!(stderr.contains("Exception calling \"Create\" with \"1\" argument(s): \"At line:2 char:8"), "{stderr}");
    assert!(stderr.contains("FullyQualifiedErrorId : ParseException"), "{stderr}");
    let caught = "try { [ScriptBlock]::Create('if (') } catch { \"caught $($_.FullyQualifiedErrorId)\" }";
    assert_eq!(sim.line(caught).await, "caught ParseException");

    // What only the simulator lacks stays loud, with its place, and cannot be caught.
    let output = sim.over_standard_input("try { trap { } } catch { 'hidden' }", 4096).await;
    let stderr = text(&output.stderr);
    assert!(stderr.contains("The keyword 'trap'") && stderr.contains("NotInSimulatedSubset"), "{stderr}");
    assert!(stderr.contains("At line:1 char:7"), "{stderr}");
    assert!(output.stdout.is_empty());
}
