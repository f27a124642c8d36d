//! The macros: `all`, `exists`, `exists_one`, `map`, `filter`, those of two variables, `sortBy` and `optMap`.

use super::eval::{Outcome, Run};
use super::expr::{Expr, Fold, FoldKind};
use super::{Cel, CelError, operators};
use std::cmp::Ordering;
use std::sync::Arc;

/// The value of a macro.
pub fn fold<'a>(run: &mut Run<'_, 'a>, fold: &'a Fold) -> Outcome<'a> {
    let range = run.expr(&fold.range)?;
    if matches!(fold.kind, FoldKind::Optional | FoldKind::OptionalFlat) {
        return optional(run, fold, &range);
    }
    let elements = elements(&range, fold.second.is_some())?;
    run.charge(elements.len())?;
    match fold.kind {
        FoldKind::All => judge(run, fold, elements, false),
        FoldKind::Exists => judge(run, fold, elements, true),
        FoldKind::ExistsOne => only_one(run, fold, elements),
        FoldKind::SortBy => sort_by(run, fold, elements),
        FoldKind::List => {
            let mut list = Vec::new();
            for (first, second) in elements {
                list.extend(step(run, fold, first, second)?);
            }
            Ok(Cel::list(list))
        }
        _ => transform(run, fold, elements),
    }
}

type Element<'a> = (Cel<'a>, Option<Cel<'a>>);

/// What goes through: items or keys; with two variables index and item, or key and value.
fn elements<'a>(range: &Cel<'a>, two: bool) -> Result<Vec<Element<'a>>, CelError> {
    if let Some(items) = range.items() {
        let items = items.into_iter().enumerate();
        return Ok(items.map(|(i, v)| if two { (Cel::size_of(i), Some(v)) } else { (v, None) }).collect());
    }
    match range.entries() {
        Some(entries) => Ok(entries.into_iter().map(|(k, v)| (k, two.then_some(v))).collect()),
        None => Err(CelError::overload()),
    }
}

/// Evaluates a part with the macro's variables.
fn with<'a>(
    run: &mut Run<'_, 'a>,
    fold: &'a Fold,
    part: &'a Expr,
    first: Cel<'a>,
    second: Option<Cel<'a>>,
) -> Outcome<'a> {
    let depth = run.locals.len();
    run.locals.push((&fold.var, first));
    if let (Some(name), Some(value)) = (&fold.second, second) {
        run.locals.push((name, value));
    }
    let outcome = run.expr(part);
    run.locals.truncate(depth);
    outcome
}

fn holds<'a>(
    run: &mut Run<'_, 'a>,
    fold: &'a Fold,
    first: Cel<'a>,
    second: Option<Cel<'a>>,
) -> Result<bool, CelError> {
    let Some(condition) = &fold.condition else { return Ok(true) };
    match with(run, fold, condition, first, second)? {
        Cel::Bool(holds) => Ok(holds),
        _ => Err(CelError::overload()),
    }
}

/// `all` and `exists`: one element that is `decisive` settles it, else an error of one is the error of all.
fn judge<'a>(
    run: &mut Run<'_, 'a>,
    fold: &'a Fold,
    elements: Vec<Element<'a>>,
    decisive: bool,
) -> Outcome<'a> {
    let mut failed = None;
    for (first, second) in elements {
        match holds(run, fold, first, second) {
            Ok(holds) if holds == decisive => return Ok(Cel::Bool(decisive)),
            Ok(_) => {}
            Err(CelError::Cost) => return Err(CelError::Cost),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(Cel::Bool(!decisive)), Err)
}

fn only_one<'a>(run: &mut Run<'_, 'a>, fold: &'a Fold, elements: Vec<Element<'a>>) -> Outcome<'a> {
    let mut count = 0;
    for (first, second) in elements {
        count += usize::from(holds(run, fold, first, second)?);
    }
    Ok(Cel::Bool(count == 1))
}

/// What an element becomes; nothing when the condition leaves it out.
fn step<'a>(
    run: &mut Run<'_, 'a>,
    fold: &'a Fold,
    first: Cel<'a>,
    second: Option<Cel<'a>>,
) -> Result<Option<Cel<'a>>, CelError> {
    if !holds(run, fold, first.clone(), second.clone())? {
        return Ok(None);
    }
    match &fold.step {
        Some(part) => with(run, fold, part, first, second).map(Some),
        None => Ok(Some(first)),
    }
}

fn transform<'a>(run: &mut Run<'_, 'a>, fold: &'a Fold, elements: Vec<Element<'a>>) -> Outcome<'a> {
    let mut map: Vec<(Cel<'a>, Cel<'a>)> = Vec::new();
    for (first, second) in elements {
        let Some(value) = step(run, fold, first.clone(), second)? else { continue };
        let new = match fold.kind {
            FoldKind::Entries => value.entries().ok_or_else(CelError::overload)?,
            _ => vec![(first, value)],
        };
        for (key, value) in new {
            if map.iter().any(|(k, _)| operators::equal(k, &key)) {
                let text = super::functions::format::text_of(&key);
                return Err(CelError::new(format!("insert failed: key {text} already exists")));
            }
            run.charge(1 + map.len() / 10)?;
            map.push((key, value));
        }
    }
    Ok(Cel::Map(Arc::new(map)))
}

fn sort_by<'a>(run: &mut Run<'_, 'a>, fold: &'a Fold, elements: Vec<Element<'a>>) -> Outcome<'a> {
    let mut keyed = Vec::with_capacity(elements.len());
    for (item, _) in elements {
        let key = step(run, fold, item.clone(), None)?.unwrap_or(Cel::Null);
        keyed.push((key, item));
    }
    let comparable = keyed.windows(2).all(|w| match w {
        [a, b] => operators::compare(&a.0, &b.0).is_ok(),
        _ => true,
    });
    if !comparable {
        return Err(CelError::overload());
    }
    keyed.sort_by(|a, b| operators::compare(&a.0, &b.0).unwrap_or(Ordering::Equal));
    Ok(Cel::list(keyed.into_iter().map(|(_, item)| item).collect()))
}

/// `optMap` and `optFlatMap`.
fn optional<'a>(run: &mut Run<'_, 'a>, fold: &'a Fold, range: &Cel<'a>) -> Outcome<'a> {
    match range {
        Cel::Optional(None) => Ok(Cel::Optional(None)),
        Cel::Optional(Some(value)) => {
            let made = step(run, fold, (**value).clone(), None)?.unwrap_or(Cel::Null);
            Ok(if fold.kind == FoldKind::Optional { Cel::some(made) } else { made })
        }
        _ => Err(CelError::overload()),
    }
}
