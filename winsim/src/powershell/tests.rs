//! The semantics that scripts lean on, each as PowerShell has it, and the limits that hostile scripts meet.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Host, STACK_BYTES};
use crate::Profile;
use crate::clock::Clock;
use crate::windows::Machine;
use crate::windows::ledger::Actor;

#[derive(Debug, Default, Clone)]
struct Recorder(Arc<Mutex<(Vec<String>, Vec<String>)>>);

impl Host for Recorder {
    fn write_line(&mut self, line: &str) {
        self.0.lock().unwrap().0.push(line.to_owned());
    }
    fn write_error(&mut self, lines: &[String]) {
        self.0.lock().unwrap().1.push(lines.join("\n"));
    }
    fn write_program_error(&mut self, line: &str) {
        self.0.lock().unwrap().1.push(line.to_owned());
    }
    fn read_input(&mut self) -> Vec<u8> {
        Vec::new()
    }
    fn write_warning(&mut self, text: &str) {
        self.0.lock().unwrap().1.push(text.to_owned());
    }
    fn is_cancelled(&self) -> bool {
        false
    }
    fn sleep(&mut self, _: Duration) {}
}

#[derive(Debug)]
struct Ran {
    out: Vec<String>,
    err: String,
    code: i32,
}

fn run(script: &str) -> Ran {
    let recorder = Recorder::default();
    let (host, script) = (recorder.clone(), script.to_owned());
    let machine = Arc::new(Machine::new(Profile::Dc.state("DC01"), Clock));
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let code = thread
        .spawn(move || super::run(&script, machine, Actor::script("C1"), Box::new(host)))
        .unwrap()
        .join()
        .expect("the interpreter never panics");
    let recorded = recorder.0.lock().unwrap();
    Ran { out: recorded.0.clone(), err: recorded.1.join("\n"), code }
}

/// Runs each expression and compares what it prints, lines joined by `|`.
fn prints(cases: &[(&str, &str)]) {
    for (script, expected) in cases {
        let ran = run(script);
        assert_eq!((ran.out.join("|").as_str(), ran.err.as_str()), (*expected, ""), "script: {script}");
    }
}

#[test]
fn truth_follows_powershell() {
    for (expression, truth) in [
        ("$null", false),
        ("''", false),
        ("'False'", true),
        ("0", false),
        ("0.0", false),
        ("@()", false),
        ("@(0)", false),
        ("@($false)", false),
        ("@(0, 0)", true),
        ("@{}", true),
        ("(Get-NetFirewallProfile -Name Public).Enabled", true),
        ("(Get-NetFirewallProfile -Name Public -PolicyStore RSOP).Enabled", true), // NotConfigured
        ("$undefined", false),
    ] {
        let expected = if truth { "yes" } else { "no" };
        prints(&[(&format!("if ({expression}) {{ 'yes' }} else {{ 'no' }}"), expected)]);
    }
}

#[test]
fn arrays_unroll_and_keep_their_shape_as_in_powershell() {
    prints(&[
        ("$a = @(); $a.Count", "0"),
        ("$a = @(1); $a += 2; $a.Count; $a -join ','", "2|1,2"),
        ("@($null).Count", "1"),
        ("@(Get-Service nope* ).Count", "0"),
        ("$x = Get-Service nope*; @($x).Count", "0"),
        ("$x = if ($false) { 1 }; $null -eq $x", "True"),
        ("(1, 2, 3 | Where-Object { $_ -gt 1 }) -join ','", "2,3"),
        ("(1, 2, 3 | Where-Object { $_ -gt 2 }).GetType().FullName", "System.Int32"),
        ("(,(1, 2)).Count", "1"),
        ("function f { ,@() }; @(f).Count", "1"),
        ("function f { @() }; @(f).Count", "0"),
        ("function f { return 1, 2 }; (f).Count", "2"),
        ("foreach ($i in $null) { 'never' }", ""),
        ("$null | ForEach-Object { 'once' }", "once"),
        ("'abc'.Count; (5).Length", "1|1"),
        ("$null -eq ([PSCustomObject]@{ a = 1 }).Count", "True"),
        ("(Get-Service DNS, NTDS).Name -join ','", "DNS,NTDS"),
        ("$a = 1, 2, 3; $a[-1]; $a[1, 2] -join ','; $null -eq $a[9]", "3|2,3|True"),
        ("(1..4) -join ''; (3..1) -join ''", "1234|321"),
    ]);
}

#[test]
fn comparison_converts_to_the_left_and_filters_lists() {
    prints(&[
        ("'ABC' -eq 'abc'; 'ABC' -ceq 'abc'", "True|False"),
        ("10 -eq '10'; '10' -eq 10; '10' -lt '9'; 10 -lt '9'", "True|True|True|False"),
        ("@(1, 2, 1) -eq 1 -join ','", "1,1"),
        ("@(@('a', 'b') -ne 'a').Count", "1"),
        ("'a', 'b' -contains 'B'; 'b' -in 'a', 'b'; 'a', 'b' -notcontains 'c'", "True|True|True"),
        ("'x' -contains 'x'", "True"),
        ("$null -eq ''; '' -eq $null; $null -eq $null", "False|False|True"),
        ("'WINRM-HTTP' -like 'winrm*'; 'abc' -like 'a?c'; 'abc' -like 'ab'; 'b' -like '[a-c]'", "True|True|False|True"),
        ("'5985' -match '^598[56]$'; @('5985', '80') -match '^598[56]$' -join ','", "True|5985"),
        ("$true -eq 'anything'; $false -eq ''", "True|True"),
        ("(Get-Service DNS).Status -eq 'running'; 'running' -eq (Get-Service DNS).Status", "True|True"),
        ("(Get-Service DNS).Status -eq 4; (Get-Service DNS).Status -eq 'nonsense'", "True|False"),
        ("if ('port 5986' -match '(?<name>\\w+) (\\d)') { $Matches[0]; $Matches['name'] }", "port 5|port"),
        ("'2024-05' -replace '(\\d+)-(\\d+)', '$2x$1 $'", "05x2024 $"),
        ("-not $true -or $true; 1 -eq 1 -and 2 -gt 1", "True|True"),
        ("'True', 'False' -contains 'true' -and 1 -ne 2", "True"),
    ]);
}

#[test]
fn arithmetic_and_text_operators_work() {
    prints(&[
        ("7 / 2; 6 / 2; 7 % 4; 2 + 3 * 4; (2 + 3) * 4; -2 + 1", "3.5|3|3|14|20|-1"),
        ("'5' + 5; 5 + '5'; 'ab' * 3", "55|10|ababab"),
        ("'a-b-c' -split '-' -join '+'; 'aXb' -replace 'x', '.'", "a+b+c|a.b"),
        ("'{0}:{1:D3}|{2,5}|{3:N2}' -f 'a', 7, 'r', 1234.5", "a:007|    r|1,234.50"),
        ("0.1 + 0.2; 1e3; 1kb; 0x1F", "0.3|1000|1024|31"),
        ("$i = 1; $i++; $i += 3; $i", "5"),
    ]);
}

#[test]
fn strings_interpolate_variables_members_and_escapes() {
    prints(&[
        (
            "$p = 'Public'; $t = @{ Public = 'False' }; \"profile ${p}: $($t[$p]) $($t.Public)!\"",
            "profile Public: False False!",
        ),
        ("$a = 1, 2; \"$a|$a.Count|$($a.Count)\"", "1 2|1 2.Count|2"),
        ("\"`$x ``q`` \"\"quoted\"\" $(1 + 1)\"", "$x `q` \"quoted\" 2"),
        ("'it''s $verbatim'", "it's $verbatim"),
        ("\"$null[$true]\"", "[True]"),
        ("\"$([PSCustomObject]@{ a = 1; b = 'x' })\"", "@{a=1; b=x}"),
    ]);
    let wrong = run("$p = 'x'; \"profile $p: on\"");
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("InvalidVariableReferenceWithDrive"), "{}", wrong.err);
}

#[test]
fn json_is_what_windows_powershell_writes() {
    prints(&[
        (
            "[ordered]@{ a = @(); b = @(1); c = @('x', 'y'); d = $null; e = $true } | ConvertTo-Json -Compress",
            r#"{"a":[],"b":[1],"c":["x","y"],"d":null,"e":true}"#,
        ),
        ("$r = @(); $r += 'one'; [ordered]@{ r = $r } | ConvertTo-Json -Compress", r#"{"r":["one"]}"#),
        ("@(1) | ConvertTo-Json -Compress; ,@(1) | ConvertTo-Json -Compress", "1|[1]"),
        ("ConvertTo-Json -Compress -InputObject @(1)", "[1]"),
        (
            "@{ a = @{ b = @{ c = @{ d = 1 } } } } | ConvertTo-Json -Compress",
            r#"{"a":{"b":{"c":"System.Collections.Hashtable"}}}"#,
        ),
        ("@{ a = @{ b = @{ c = @{ d = 1 } } } } | ConvertTo-Json -Compress -Depth 5", r#"{"a":{"b":{"c":{"d":1}}}}"#),
        ("@{ s = (Get-Service DNS).Status } | ConvertTo-Json -Compress", r#"{"s":4}"#),
        (
            "@{ q = \"it's <b> & `\"x`\"\" } | ConvertTo-Json -Compress",
            r#"{"q":"it\u0027s \u003cb\u003e \u0026 \"x\""}"#,
        ),
        ("('{\"b\": [1, {\"c\": null}], \"a\": \"x\"}' | ConvertFrom-Json).b[0]", "1"),
        (
            "'{\"b\":[1,{\"c\":null}],\"a\":\"\\u00e9\"}' | ConvertFrom-Json | ConvertTo-Json -Compress -Depth 4",
            "{\"b\":[1,{\"c\":null}],\"a\":\"\u{e9}\"}",
        ),
        (
            "$o = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('eyJhIjoiw6kifQ==')) | ConvertFrom-Json; $o.a; $null -eq $o.zzz",
            "\u{e9}|True",
        ),
    ]);
}

#[test]
fn pipelines_stream_one_value_at_a_time() {
    prints(&[
        ("1, 2 | ForEach-Object { \"a$_\"; $_ } | ForEach-Object { \"b$_\" }", "ba1|b1|ba2|b2"),
        ("1, 2 | ForEach-Object { Write-Host \"a$_\"; $_ } | ForEach-Object { Write-Host \"b$_\" }", "a1|b1|a2|b2"),
        ("3, 1, 2 | Sort-Object | Select-Object -First 2", "1|2"),
        ("Get-Service D* | Where-Object Status -eq 'Running' | Select-Object -ExpandProperty Name", "DNS|Dnscache"),
        ("(Get-Service | Measure-Object).Count -gt 10", "True"),
        ("$x = 5; 1 | ForEach-Object { $x = $_ }; $x", "1"),
        ("& { $y = 1 }; $null -eq $y", "True"),
    ]);
}

#[test]
fn control_flow_follows_powershell() {
    prints(&[
        ("for ($i = 0; $i -lt 5; $i++) { if ($i -eq 1) { continue }; if ($i -eq 3) { break }; $i }", "0|2"),
        ("$i = 0; do { $i++ } until ($i -ge 3); $i; while ($true) { break }", "3"),
        ("switch ('b') { 'a' { 1 } 'B' { 2; break } default { 3 } }; switch (9) { 1 { 1 } default { 'd' } }", "2|d"),
        ("function add([int]$a, $b = 10) { $a + $b }; add 1; add 1 2; add -b 5 -a 3", "11|3|8"),
        ("function f { param([switch]$On) if ($On) { 'on' } else { 'off' } }; f; f -On", "off|on"),
        ("function f { 'a'; return; 'b' }; f", "a"),
        (
            "try { throw 'boom' } catch { \"caught $_ $($_.FullyQualifiedErrorId)\" } finally { 'end' }",
            "caught boom boom|end",
        ),
        (
            "try { Get-Service nope -ErrorAction Stop } catch { $_.Exception.Message }",
            "Cannot find any service with service name 'nope'.",
        ),
        (
            "try { Get-Nothing } catch [Management.Automation.CommandNotFoundException] { 'none' } catch { 'other' }",
            "none",
        ),
        ("try { try { throw 'a' } finally { 'f' } } catch { 'c' }", "f|c"),
        ("try { 1 / 0 } catch { $_.Exception.Message }", "Attempted to divide by zero."),
        ("if ($false) { 1 }\nelseif ($true) { 2 }\nelse { 3 }", "2"),
        ("$a = 'x', # comment\n  'y'\n<# block #> $a.Count", "2"),
    ]);
}

#[test]
fn exit_codes_are_those_of_powershell_exe() {
    for (script, code) in [
        ("exit 3", 3),
        ("'x'; exit", 0),
        ("throw 'x'", 1),
        ("Get-Nothing", 1),
        ("Get-Nothing; 'fine'", 0),
        ("function f { exit 4 }; f; exit 5", 4),
        ("try { exit 6 } finally { 'f' }", 6),
        ("if (", 1),
    ] {
        assert_eq!(run(script).code, code, "{script}");
    }
}

#[test]
fn an_error_ends_its_statement_or_the_script_as_the_preference_says() {
    let goes_on = run("Get-Nothing\n'after'");
    assert_eq!(goes_on.out, ["after"]);
    assert!(goes_on.err.contains("At line:1 char:1"), "{}", goes_on.err);
    let stops = run("$ErrorActionPreference = 'Stop'\nGet-Nothing\n'after'");
    assert_eq!((stops.out.len(), stops.code), (0, 1));
    assert!(stops.err.contains("At line:2 char:1\n+ Get-Nothing\n+ ~~~~~~~~~~~"), "{}", stops.err);
    let silent = run("Get-Service nope -ErrorAction SilentlyContinue; 'after'");
    assert_eq!((silent.out, silent.err.as_str()), (vec!["after".to_owned()], ""));
}

#[test]
fn what_is_not_in_the_subset_is_refused_loudly_and_cannot_be_caught() {
    for script in [
        "try { [Math]::Cos(1) } catch { 'swallowed' }",
        "try { 'x'.Normalize() } catch { 'swallowed' }",
        "try { @{ a = 1 } } catch { 'swallowed' }",
        "try { 'x' -match '(?<=a)b' } catch { 'swallowed' }",
        "'x' > file.txt",
        "class A { }",
        "Get-Service | Sort-Object Status, Name",
        "1 -as [int]",
    ] {
        let ran = run(script);
        assert_eq!((ran.out.len(), ran.code), (0, 1), "{script}: {ran:?}");
        assert!(ran.err.contains("not in the subset"), "{script}: {}", ran.err);
        assert!(ran.err.contains("NotInSimulatedSubset"), "{script}: {}", ran.err);
    }
}

#[test]
fn an_unknown_parameter_or_type_is_powershells_own_error() {
    let parameter = run("Get-Service -Nonsense 1");
    assert!(parameter.err.contains("A parameter cannot be found that matches parameter name 'Nonsense'."));
    assert!(run("try { throw 'x' } catch [No.Such] { 1 }").err.contains("Unable to find type [No.Such]."));
    assert!(run("[No.Such.Type]::x").err.contains("Unable to find type [No.Such.Type]."));
}

#[test]
fn a_hostile_script_ends_at_a_limit() {
    for script in [
        "while ($true) { }",
        "$s = 'x'; while ($true) { $s += $s }",
        "$a = @(1); while ($true) { $a += $a }",
        "$a = 1; while ($true) { $a = ,$a }",
        "$o = $null; while ($true) { $o = @{ next = $o } }",
        "function f { f }; f",
        "function f($n) { ((((((((((f ($n + 1))))))))))) }; f 0",
        "$b = { & $b }; & $b",
        "1..2000000000",
        "'x' * 1000000000",
        "$t = @{}; $i = 0; while ($true) { $t[$i] = $i; $i++ }",
        "'a' -match '(((((a{50}){50}){50}){50}){50})'",
        "'{0,2000000000}' -f 1",
        "$a = @(0); $a[0] = $a; $a",
    ] {
        let ran = run(script);
        assert_eq!(ran.code, 1, "{script}: {}", ran.err);
        assert!(!ran.err.is_empty(), "{script}");
    }
}

mod arbitrary {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn any_mixture_of_the_language_ends_without_a_panic(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "$a", "$_", "=", "+=", "1", "'x'", "\"$a $(1)\"", "@(1, 2)", "@{ k = 1 }", "|", ";", "\n", "(", ")", "{", "}",
                    "if ($a) { 1 }", "foreach ($i in 1, 2) { $i }", "try { throw 'x' } catch { $_ }", "-eq", "-join", "-f", "+", "/",
                    ".Count", "[0]", "Get-Service", "Where-Object { $_ }", "Sort-Object", "ConvertTo-Json -Compress", "-Name", "while (1) { $a += 1 }",
                ]),
                0..24,
            ),
        ) {
            super::run(&pieces.join(" "));
        }
    }
}

#[test]
fn what_scripts_of_other_people_use_is_run_as_powershell_runs_it() {
    prints(&[
        ("$x = @'\nit's $raw\nand \"so\"\n'@; $x", "it's $raw|and \"so\""),
        ("$n = 3; @\"\n$n \"quoted\" $($n + 1)\n\"@", "3 \"quoted\" 4"),
        (
            "function F { [CmdletBinding()] param([Parameter(Mandatory = $true)][string] $A, [Alias('B2')] $B = 2) \"$A $B\" } F -A x",
            "x 2",
        ),
        ("function F { begin { 'b' } process { 'p' } end { 'e' } }; F", "b|p|e"),
        ("switch -regex ('abc') { '^a' { 'starts' } { $_ -eq 'abc' } { 'is' } default { 'no' } }", "starts|is"),
        (
            "switch -wildcard ('abc') { 'A*' { 'like' } }; switch -casesensitive ('abc') { 'ABC' { 'no' } default { 'other' } }",
            "like|other",
        ),
        ("$a, $b, $c = 1, 2, 3, 4; \"$a $b $($c.Count)\"", "1 2 2"),
        ("6 -band 3; 6 -bor 1; 6 -bxor 3; -bnot 0; 1 -shl 4; -16 -shr 2", "2|7|5|-1|16|-4"),
        ("$d = 'C:\\x'; Write-Output $d\\y-$(1 + 1).txt", "C:\\x\\y-2.txt"),
        ("$i = 1; $i ++; $i; 5 \u{2013} 3; .5 + .5; 1tb / 1gb; 7L", "2|2|1|1024|7"),
        (":outer foreach ($x in 1, 2) { $x }", "1|2"),
        ("{ $a + 1 }.ToString()", " $a + 1 "),
        ("'0x{0:X8}' -f -2147024891", "0x80070005"),
    ]);
}

#[test]
fn what_is_only_read_is_refused_by_its_name_when_it_is_reached_and_not_before() {
    for (script, named) in [
        ("class P { [int] $X }", "The keyword 'class'"),
        ("using namespace System.Text\n", "The keyword 'using'"),
        ("trap { 1 }", "The keyword 'trap'"),
        (". ./lib.ps1", "Dot sourcing a file"),
        ("Write-Output 1 > out.txt", "Redirection to a file"),
        ("(1 + 1) > out.txt", "Redirection of an expression"),
        ("function F { param([ValidateSet('a')] $x) 1 }; F b", "The attribute [ValidateSet]"),
        ("function F { param([Parameter(Mandatory)] $x) 1 }; F", "the mandatory parameter 'x'"),
        ("[ValidateNotNull()] $x = 1", "The attribute [ValidateNotNull]"),
        (":a while ($true) { break a }", "A label after 'break'"),
        ("$m = 'ToUpper'; 'x'.$m()", "A method whose name is computed"),
        ("switch -file x.txt { 'a' { 1 } }", "switch -file"),
    ] {
        let ran = run(&format!("'before'; try {{ {script} }} catch {{ 'caught' }}; 'after'"));
        assert_eq!(ran.out, ["before"], "{script}: {}", ran.err);
        assert!(ran.err.contains(named) && ran.err.contains("NotInSimulatedSubset"), "{script}: {}", ran.err);
        let ran = run(&format!("if ($false) {{ {script} }}; 'passed by'"));
        assert_eq!((ran.out.join("|").as_str(), ran.err.as_str()), ("passed by", ""), "{script}");
    }
}
