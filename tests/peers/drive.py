"""Runs commands on a WinRM server with pywinrm or pypsrp, as their own users would.

Reads a JSON list of cases from standard input:
    {"client": "pywinrm" | "pypsrp", "url": "http://127.0.0.1:5985/wsman", "ca": FILE,
     "auth": "ntlm" | "negotiate" | "basic", "user": ..., "password": ...,
     "powershell": SCRIPT} or {..., "command": PROGRAM, "arguments": [...]}
Writes a JSON list of what came of each: {"exit_code", "stdout", "stderr"}, or {"error": CLASS, "message": TEXT}.
"""

import json
import sys
from base64 import b64encode
from urllib.parse import urlsplit


def with_pywinrm(case):
    import winrm

    session = winrm.Session(
        case["url"],
        auth=(case["user"], case["password"]),
        transport=case["auth"],
        ca_trust_path=case["ca"],
        server_cert_validation="validate",
        operation_timeout_sec=5,
        read_timeout_sec=10,
    )
    if "powershell" in case:
        done = session.run_ps(case["powershell"])
    else:
        done = session.run_cmd(case["command"], case["arguments"])
    return done.status_code, done.std_out.decode(), done.std_err.decode()


def with_pypsrp(case):
    from pypsrp.client import Client
    from pypsrp.shell import Process, SignalCode, WinRS

    url = urlsplit(case["url"])
    client = Client(
        url.hostname,
        port=url.port,
        ssl=url.scheme == "https",
        username=case["user"],
        password=case["password"],
        auth=case["auth"],
        cert_validation=case["ca"] if url.scheme == "https" else False,
    )
    if "command" in case:
        stdout, stderr, code = client.execute_cmd(" ".join([case["command"], *case["arguments"]]))
        return code, stdout, stderr
    # Its own way of running PowerShell is another protocol (PSRP): a script goes through the command shell instead.
    encoded = b64encode(case["powershell"].encode("utf-16-le")).decode()
    with client.wsman, WinRS(client.wsman) as shell:
        process = Process(shell, "powershell.exe", ["-NoProfile", "-EncodedCommand", encoded])
        process.invoke()
        process.signal(SignalCode.CTRL_C)
        return process.rc, process.stdout.decode(), process.stderr.decode()


def run(case):
    try:
        how = {"pywinrm": with_pywinrm, "pypsrp": with_pypsrp}[case["client"]]
        exit_code, stdout, stderr = how(case)
        return {"exit_code": exit_code, "stdout": stdout, "stderr": stderr}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}


json.dump([run(case) for case in json.load(sys.stdin)], sys.stdout)
