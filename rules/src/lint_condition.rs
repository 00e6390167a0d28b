//! From the `conditions` of a rule to compiled tests.

use regex::RegexBuilder;
use serde_json::Value;

use crate::condition::{Condition, Origin};
use crate::document::{Data, Node};
use crate::fields::{Fields, Problem, text};
use crate::operator::{Operator, Scalar, Test};
use crate::runbook::platforms;
use crate::suggest;
use crate::view::{FieldPath, ROOTS};

/// Memory that one compiled pattern may take, in bytes.
const REGEX_SIZE_LIMIT: usize = 256 * 1024;

const MAX_CONDITIONS: usize = 64;

pub(crate) fn conditions(rule: &Fields<'_>) -> Result<Vec<Condition>, Problem> {
    let at = rule.required("conditions")?.at;
    let listed = rule.list("conditions")?.unwrap_or_default();
    if listed.is_empty() {
        return Err(Problem::new(at, "conditions", "conditions are empty, so every finding would match"));
    }
    if listed.len() > MAX_CONDITIONS {
        return Err(Problem::new(at, "conditions", format!("there are more than {MAX_CONDITIONS} conditions")));
    }
    listed.into_iter().map(|(path, node)| condition(node, path)).collect()
}

/// A condition that follows from something else in the rule: the field is one of these texts.
pub(crate) fn one_of(field: &str, texts: &[&str], origin: Origin) -> Condition {
    let scalars = texts.iter().map(|text| Scalar::Text((*text).to_owned())).collect();
    Condition {
        field: FieldPath::root_field(field),
        operator: Operator::In,
        value: texts.iter().copied().collect(),
        origin,
        test: Test::In(scalars),
    }
}

pub(crate) fn on_platform(platform: String) -> Condition {
    let several = platforms(&platform);
    let (operator, value, test) = if several.len() == 1 {
        (Operator::Eq, Value::String(platform.clone()), Test::Equal(Scalar::Text(platform)))
    } else {
        let test = Test::In(several.iter().map(|one| Scalar::Text((*one).to_owned())).collect());
        (Operator::In, Value::from(several), test)
    };
    Condition { field: FieldPath::root_field("platform"), operator, value, origin: Origin::Runbook, test }
}

fn condition(node: &Node, path: String) -> Result<Condition, Problem> {
    let fields = Fields::of(node, path, "a condition")?;
    fields.only(&["field", "operator", "value"])?;
    let field = field(fields.required("field")?, &fields.path("field"))?;
    let operator_node = fields.required("operator")?;
    let operator_path = fields.path("operator");
    let name = text(operator_node, &operator_path)?;
    let operator = Operator::parse(name).ok_or_else(|| {
        let known = Operator::ALL.map(Operator::as_str);
        Problem::new(operator_node.at, operator_path, format!("unknown operator {name:?}"))
            .suggesting(suggest::did_you_mean(name, known))
    })?;
    let value = fields.required("value")?;
    let test = test(operator, value, &fields.path("value"))?;
    Ok(Condition { field, operator, value: Value::from(value), origin: Origin::Written, test })
}

/// A path into the view, for conditions and for parameters that refer to the finding.
pub(crate) fn field(node: &Node, path: &str) -> Result<FieldPath, Problem> {
    let name = text(node, path)?;
    let problem = |message: String| Problem::new(node.at, path, message);
    let field = FieldPath::parse(name).ok_or_else(|| problem(format!("field {name:?} has an empty part")))?;
    if !ROOTS.contains(&field.root()) {
        let meant = suggest::did_you_mean(field.root(), ROOTS);
        let meant = meant.map(|root| name.replacen(field.root(), &root, 1));
        let message = format!("unknown field {name:?}; a finding has {}", ROOTS.join(", "));
        return Err(problem(message).suggesting(meant));
    }
    if field.is_nested() && !matches!(field.root(), "details" | "pre_state") {
        return Err(problem(format!("field {name:?} leads nowhere: {} is a single value", field.root())));
    }
    Ok(field)
}

fn test(operator: Operator, value: &Node, path: &str) -> Result<Test, Problem> {
    Ok(match operator {
        Operator::Eq => Test::Equal(scalar(value, path)?),
        Operator::Ne => Test::Not(Box::new(Test::Equal(scalar(value, path)?))),
        Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le => match scalar(value, path)? {
            Scalar::Number(limit) => Test::Ordered(operator, limit),
            Scalar::Bool(_) | Scalar::Text(_) => return Err(wrong(operator, value, path, "a number")),
        },
        Operator::Contains => Test::Contains(scalar(value, path)?),
        Operator::In => Test::In(scalars(operator, value, path)?),
        Operator::NotIn => Test::Not(Box::new(Test::In(scalars(operator, value, path)?))),
        Operator::Exists => match value.data {
            Data::Bool(wanted) => Test::Exists(wanted),
            _ => return Err(wrong(operator, value, path, "true or false")),
        },
        Operator::Regex => Test::Regex(pattern(operator, value, path)?),
        Operator::NotRegex => Test::Not(Box::new(Test::Regex(pattern(operator, value, path)?))),
    })
}

fn wrong(operator: Operator, value: &Node, path: &str, wanted: &str) -> Problem {
    Problem::new(value.at, path, format!("{} takes {wanted}, not {}", operator.as_str(), value.kind()))
}

fn scalar(value: &Node, path: &str) -> Result<Scalar, Problem> {
    match &value.data {
        Data::Bool(flag) => Ok(Scalar::Bool(*flag)),
        Data::Number(number) => Ok(Scalar::Number(number.clone())),
        Data::Text(text) => Ok(Scalar::Text(text.clone())),
        Data::Null | Data::List(_) | Data::Map(_) => {
            let message = format!("{path} must be a text, a number or a boolean, not {}", value.kind());
            Err(Problem::new(value.at, path, message))
        }
    }
}

fn scalars(operator: Operator, value: &Node, path: &str) -> Result<Vec<Scalar>, Problem> {
    let Data::List(items) = &value.data else { return Err(wrong(operator, value, path, "a list")) };
    let Some(first) = items.first() else {
        return Err(Problem::new(value.at, path, format!("{} takes a list of at least one value", operator.as_str())));
    };
    let mut scalars = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        scalars.push(scalar(item, &path)?);
        if item.kind() != first.kind() {
            let message =
                format!("a list holds {} and {}: no field could be compared with both", first.kind(), item.kind());
            return Err(Problem::new(item.at, path, message));
        }
    }
    Ok(scalars)
}

fn pattern(operator: Operator, value: &Node, path: &str) -> Result<regex::Regex, Problem> {
    let Data::Text(pattern) = &value.data else { return Err(wrong(operator, value, path, "a pattern as a text")) };
    let built = RegexBuilder::new(pattern).size_limit(REGEX_SIZE_LIMIT).dfa_size_limit(REGEX_SIZE_LIMIT).build();
    built.map_err(|error| {
        let why = match &error {
            regex::Error::CompiledTooBig(limit) => format!("it needs more than {limit} bytes"),
            error => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        };
        Problem::new(value.at, path, format!("bad regex {:?}: {why}", shortened(pattern)))
    })
}

fn shortened(pattern: &str) -> String {
    const SHOWN: usize = 60;
    match pattern.char_indices().nth(SHOWN) {
        None => pattern.to_owned(),
        Some((end, _)) => format!("{}...", &pattern[..end]),
    }
}
