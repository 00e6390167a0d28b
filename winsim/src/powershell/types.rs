//! Type literals: the .NET types that the subset knows, by the names scripts use for them.

use super::ast::TypeName;
use super::error::{ErrorRecord, Run, Signal};
use super::value::same_name;

/// Short or full name, and the full name.
const TYPES: [(&str, &str); 37] = [
    ("object", "System.Object"),
    ("string", "System.String"),
    ("string[]", "System.String[]"),
    ("bool", "System.Boolean"),
    ("boolean", "System.Boolean"),
    ("switch", "System.Management.Automation.SwitchParameter"),
    ("int", "System.Int32"),
    ("int32", "System.Int32"),
    ("long", "System.Int64"),
    ("int64", "System.Int64"),
    ("double", "System.Double"),
    ("array", "System.Object[]"),
    ("object[]", "System.Object[]"),
    ("byte[]", "System.Byte[]"),
    ("void", "System.Void"),
    ("pscustomobject", "System.Management.Automation.PSObject"),
    ("psobject", "System.Management.Automation.PSObject"),
    ("hashtable", "System.Collections.Hashtable"),
    ("datetime", "System.DateTime"),
    ("convert", "System.Convert"),
    ("math", "System.Math"),
    ("guid", "System.Guid"),
    ("console", "System.Console"),
    ("environment", "System.Environment"),
    ("text.encoding", "System.Text.Encoding"),
    ("exception", "System.Exception"),
    ("scriptblock", "System.Management.Automation.ScriptBlock"),
    ("management.automation.commandnotfoundexception", "System.Management.Automation.CommandNotFoundException"),
    ("management.automation.runtimeexception", "System.Management.Automation.RuntimeException"),
    ("microsoft.powershell.commands.servicecommandexception", "Microsoft.PowerShell.Commands.ServiceCommandException"),
    ("microsoft.management.infrastructure.cimexception", "Microsoft.Management.Infrastructure.CimException"),
    ("invalidoperationexception", "System.InvalidOperationException"),
    ("unauthorizedaccessexception", "System.UnauthorizedAccessException"),
    ("runtime.interopservices.comexception", "System.Runtime.InteropServices.COMException"),
    ("management.automation.itemnotfoundexception", "System.Management.Automation.ItemNotFoundException"),
    ("argumentexception", "System.ArgumentException"),
    ("formatexception", "System.FormatException"),
];

/// The full name of a type literal, or PowerShell's error that there is no such type.
pub(super) fn resolve(name: &TypeName) -> Run<&'static str> {
    find(&name.name).ok_or_else(|| {
        let mut record = ErrorRecord::runtime("TypeNotFound", format!("Unable to find type [{}].", name.name))
            .target(name.name.clone(), "TypeName");
        record.pos = name.pos;
        Signal::error(record)
    })
}

fn find(name: &str) -> Option<&'static str> {
    let short = match name.get(..7) {
        Some(prefix) if same_name(prefix, "System.") => name.get(7..)?,
        _ => name,
    };
    TYPES.iter().find(|(known, full)| same_name(known, short) || same_name(full, name)).map(|(_, full)| *full)
}

/// Whether `catch [name]` catches an exception of this type.
pub(super) fn catches(name: &str, exception: &str) -> bool {
    let Some(full) = find(name) else {
        return false;
    };
    full == exception
        || full == "System.Exception"
        || (full == "System.Management.Automation.RuntimeException"
            && exception.starts_with("System.Management.Automation."))
}
