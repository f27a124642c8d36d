//! What expressions come to.

use super::*;
use crate::tree;

fn value(text: &str) -> Result<Value, String> {
    let object = tree!({
        "metadata": {"name": "web", "labels": {"app": "a", "b/c": "d"}},
        "spec": {"replicas": 3, "ports": [{"port": 80, "name": "http"}, {"port": 443}], "ratio": 1.5}
    });
    let program = Program::compile(text, &["object", "oldObject"])?;
    program
        .eval(&Env::new().with("object", &object).with("oldObject", &Value::Null))
        .map_err(|e| e.to_string())
}

fn holds(text: &str) {
    assert_eq!(value(text), Ok(Value::Bool(true)), "{text}");
}

#[test]
fn fields_macros_and_operators_read_trees() {
    for text in [
        "object.metadata.name == 'web' && object.spec.replicas + 1 == 4",
        "object.metadata.labels['b/c'] == 'd' && 'app' in object.metadata.labels",
        "has(object.spec.ratio) && !has(object.spec.none) && !has(oldObject.spec)",
        "object.spec.ports.all(p, p.port > 79) && object.spec.ports.exists(p, p.port == 443)",
        "object.spec.ports.exists_one(p, has(p.name))",
        "object.spec.ports.map(p, p.port) == [80, 443]",
        "object.spec.ports.map(p, has(p.name), p.name) == ['http']",
        "object.spec.ports.filter(p, p.port > 100)[0].port == 443",
        "object.spec.ports.all(i, p, p.port > i)",
        "{'a': 1, 'b': 2}.transformMap(k, v, v * 2) == {'b': 4, 'a': 2}",
        "{'a': 1, 'b': 2}.all(k, v, v > 0) && [3, 1].sortBy(x, x) == [1, 3]",
        "object.spec.ratio == 1.5 && 1 == 1.0 && 2u > 1 && 1 < 1.5 && type(1) == int && type('') == string",
        "object.?spec.?none.orValue(7) == 7 && object.?spec.?replicas.hasValue()",
        "object.metadata.labels[?'x'].orValue('y') == 'y' && optional.of(1).optMap(x, x + 1).value() == 2",
        "oldObject == null && object != null && [1, 'a', null] == [1, 'a', null]",
        "false && object.none || true || object.none",
        "size('äö') == 2 && object.spec.ports.size() == 2 && size(object.metadata.labels) == 2",
        "(1 in [1, 2] ? 'yes' : 'no') == 'yes' && -object.spec.replicas == -3 && 7 % 3 == 1 && 7 / 2 == 3",
        "object.metadata.name.startsWith('w') && object.metadata.name.matches('^[a-z]+$')",
        "[1, 2] + [3] == [1, 2, 3] && b'ab' + b'c' == bytes('abc')",
    ] {
        holds(text);
    }
}

#[test]
fn kubernetes_libraries_are_there() {
    for text in [
        "url('https://a.b:8080/x%20y?q=1&q=2').getHost() == 'a.b:8080'",
        "url('https://a.b:8080/x%20y?q=1&q=2').getQuery() == {'q': ['1', '2']} && !isURL('../x')",
        "url('https://[::1]:80/').getHostname() == '::1' && url('/a/b').getEscapedPath() == '/a/b'",
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('50k').add(20) == quantity('50020')",
        "quantity('1500m').isInteger() == false && quantity('2k').asInteger() == 2000 && !isQuantity('x')",
        "ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && isIP('10.0.0.1') && !isIP('::ffff:1.2.3.4')",
        "cidr('10.0.0.0/8').containsIP('10.9.9.9') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !isCIDR('10.0.0.0/33') && string(ip('10.0.0.1')) == '10.0.0.1'",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('v1.2', true).minor() == 2 && !isSemver('1.2')",
        "semver('1.0.0-alpha.1').compareTo(semver('1.0.0')) == -1",
        "!format.dns1123Label().validate('web').hasValue() && format.named('uuid').value().validate('x').hasValue()",
        "'%s is %d, %.2f %x %t'.format(['a', 1, 1.5, 255, 1]) == '' || '%s is %d, %.2f %x'.format(['a', 1, 1.5, 255]) == 'a is 1, 1.50 ff'",
        "'%s'.format([[1, {'a': true}]]) == '[1, {a: true}]'",
        "'abc'.charAt(1) == 'b' && 'tacocat'.indexOf('ac', 3) == -1 && 'tacocat'.lastIndexOf('ac') == 1",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && ['a', 'b'].join('-') == 'a-b' && 'hello'.substring(1, 3) == 'el'",
        "'abab'.replace('a', 'x', 1) == 'xbab' && ' x '.trim() == 'x' && 'aB'.upperAscii() == 'AB'",
        "[1, 2, 3].sum() == 6 && [2, 1].min() == 1 && [1, 2].isSorted() && [[1], [2]].flatten() == [1, 2]",
        "[1, 2, 2].distinct() == [1, 2] && [3, 1].sort() == [1, 3] && lists.range(3) == [0, 1, 2]",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])",
        "'abc 123'.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2']",
        "timestamp('2024-02-29T12:30:45Z').getDayOfYear() == 59 && timestamp('2024-02-29T12:30:45Z').getDayOfWeek() == 4",
        "timestamp('2024-02-29T23:30:00Z').getHours('+01:00') == 0 && duration('1h30m').getMinutes() == 90",
        "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
        "string(duration('90s')) == '90s' && int('12') == 12 && double('1.5') == 1.5 && string(1.0) == '1'",
    ] {
        holds(text);
    }
}

#[test]
fn failures_are_in_upstreams_words() {
    for (text, error) in [
        ("object.none == 1", "no such key: none"),
        ("oldObject.spec == 1", "no such key: spec"),
        ("object.spec.ports[5] == 1", "index out of bounds: 5"),
        ("1 / (object.spec.replicas - 3)", "division by zero"),
        ("9223372036854775807 + object.spec.replicas", "integer overflow"),
        ("object.spec + 1", "no such overload"),
        ("optional.none().value()", "optional.none() dereference"),
        ("true && object.none", "no such key: none"),
        ("[].max()", "max called on empty list"),
    ] {
        assert_eq!(value(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn undeclared_names_are_found_when_compiling() {
    let error = |text: &str| Program::compile(text, &["object"]).unwrap_err();
    assert_eq!(
        error("nosuchfunc(object.a)"),
        "ERROR: <input>:1:11: undeclared reference to 'nosuchfunc' (in container '')\n | nosuchfunc(object.a)\n | ..........^"
    );
    assert_eq!(
        error("object.x == params.y"),
        "ERROR: <input>:1:13: undeclared reference to 'params' (in container '')\n | object.x == params.y\n | ............^"
    );
    assert!(error("[1].all(x, y > 0)").contains("undeclared reference to 'y'"));
    assert!(error("object.foo(1)").contains("1:11: undeclared reference to 'foo'"));
    assert!(Program::compile("[1].all(object, object > 0) && sets.contains([1], [1])", &[]).is_ok());
}

#[test]
fn evaluation_ends_at_its_cost() {
    let list = "[1,2,3,4,5,6,7,8,9,10]";
    let nested = (0..8).fold("1".to_owned(), |inner, i| format!("{list}.map(x{i}, {inner})"));
    let program = Program::compile(&nested, &[]).unwrap();
    assert_eq!(program.eval(&Env::new()), Err(CelError::Cost));
    let small = Program::compile("[1, 2].map(x, x) == [1, 2]", &[]).unwrap();
    assert_eq!(small.eval_bool(&Env::new().limit(3)), Err(CelError::Cost));
    assert_eq!(small.eval_bool(&Env::new()), Ok(true));
}

#[test]
fn a_hundred_undeclared_names_are_told_and_the_others_counted() {
    let text = (0..103).map(|i| format!("x{i}")).collect::<Vec<_>>().join(" +\n");
    let error = Program::compile(&text, &[]).unwrap_err();
    assert_eq!(error.matches("undeclared reference").count(), 100);
    assert!(error.ends_with("\n3 more errors were truncated"), "{error}");
}

struct OnlyPods;

impl Authorizer for OnlyPods {
    fn check<'a>(&'a self, check: &'a Check) -> crate::Later<'a, Decision> {
        let allowed = check.resource == "pods" && check.verb == "create" && check.service_account.is_none();
        Box::pin(std::future::ready(Decision { allowed, reason: "because".to_owned(), error: None }))
    }
}

#[test]
fn the_authorizer_is_asked_where_the_expression_asks() {
    let ask = |text: &str| {
        let program = Program::compile(text, &["authorizer"]).unwrap();
        let request = Check { resource: "pods".to_owned(), ..Check::default() };
        let mut env = Env::new().with_authorizer(Some(request));
        let mut future = std::pin::pin!(program.eval_bool_asking(&mut env, &OnlyPods));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut cx) {
            std::task::Poll::Ready((result, _)) => result,
            std::task::Poll::Pending => panic!("it waits"),
        }
    };
    assert_eq!(ask("authorizer.group('').resource('pods').check('create').allowed()"), Ok(true));
    assert_eq!(ask("authorizer.group('').resource('pods').namespace('a').check('get').allowed()"), Ok(false));
    assert_eq!(ask("authorizer.requestResource.check('create').reason() == 'because'"), Ok(true));
    assert_eq!(ask("authorizer.serviceAccount('a', 'b').path('/x').check('get').allowed()"), Ok(false));
    assert!(ask("authorizer.group('').resource(' ').check('get').allowed()").is_err());
}

#[test]
fn what_is_known_without_variables_shows() {
    let program = |text: &str| Program::compile(text, &["claims"]).unwrap();
    assert_eq!(program("1 + 1").known_type(), Some("int"));
    assert_eq!(program("claims.a == 'b'").known_type(), Some("bool"));
    assert_eq!(program("claims.a").known_type(), None);
    assert!(program("'x' + claims.email").uses(&["claims", "email"]));
    assert!(program("claims['email_verified']").uses(&["claims", "email_verified"]));
    assert!(!program("claims.name").uses(&["claims", "email"]));
    assert_eq!(program("claims['a'].b").path(), Some(vec!["claims", "a", "b"]));
    assert_eq!(
        (program("has(claims.a)").path(), program("has(claims.a)").known_type()),
        (None, Some("bool"))
    );
    assert_eq!((program("claims.?a.b").path(), program("claims.?a").path()), (None, None));
}

proptest::proptest! {
    #[test]
    fn garbage_never_panics(text in "[a-z0-9'\"()\\[\\]{}.?:,+*/%<>=!&| -]{0,24}") {
        if let Ok(program) = Program::compile(&text, &["a", "b", "object"]) {
            let _ = program.eval(&Env::new().with("a", &Value::Int(1)).with("b", &Value::Null));
        }
    }
}
