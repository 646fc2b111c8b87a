// KQL judged by Microsoft's language service: one JSON document in on stdin, one out on stdout.
//
// in:  {"package": folder, "tables": {name: {column: type}}, "functions": [{name, parameters, body}], "queries": {id: text},
//       "transforms": {id: {"source": {column: type}, "query": text}}}
// out: {"queries": {id: {problems, columns}}, "transforms": {id: {problems, columns}}}
//
// Reads no file and knows no content. The `$ctorN` names belong to version 12.4.1 of the package.
const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
require(`${input.package}/bridge.js`); // must come first
require(`${input.package}/Kusto.Language.Bridge.js`);
const KL = Kusto.Language, S = KL.Symbols;

const table = (name, columns) => new S.TableSymbol.$ctor7(name,
  '(' + Object.entries(columns).map(([c, t]) => `['${c}']:${t === 'boolean' ? 'bool' : t}`).join(', ') + ')', null);
const func = ({ name, parameters, body }) => new S.FunctionSymbol.$ctor16(name, parameters, `{ ${body}\n}`, null);
const workspace = (...members) => KL.GlobalState.Default.WithDatabase(new S.DatabaseSymbol.ctor('workspace', members));

function check(query, globals) {
  const code = KL.KustoCode.ParseAndAnalyze(query, globals), diags = code.GetDiagnostics(), problems = [], columns = {};
  for (let i = 0; i < diags.Count; i++) {
    const d = diags.getItem(i);
    problems.push(`${d.Code} at ${JSON.stringify(query.substr(d.Start, Math.max(d.Length, 20)))}: ${d.Message}`);
  }
  const found = code.ResultType && code.ResultType.Columns;
  for (let i = 0; found && i < found.Count; i++) columns[found.getItem(i).Name] = found.getItem(i).Type.Name;
  return { problems, columns, syntax: code.Syntax };
}

// What the transformation of a data collection rule may use; the engine alone accepts more than the service does.
// Source: Azure Monitor, "Supported KQL features in Azure Monitor transformations".
const OPERATORS = /^(Extend|Project|ProjectAway|ProjectRename|Filter|Parse|Print)Operator$/;
const FUNCTIONS = new RegExp('^(' + [
  'tobool todatetime todouble toreal toguid toint tolong tostring totimespan',
  'ago now datetime_add datetime_diff datetime_part dayofmonth dayofweek dayofyear hourofday make_datetime make_timespan',
  'startofday startofweek startofmonth startofyear endofday endofweek endofmonth endofyear getmonth getyear weekofyear',
  'array_concat array_length pack pack_array parse_json parse_xml zip',
  'abs bin floor ceiling exp exp2 exp10 log log2 log10 pow round sign isfinite isinf isnan',
  'case iif max_of min_of countof extract extract_all indexof isempty isnotempty isnull isnotnull gettype',
  'replace split strcat strcat_delim strlen substring tolower toupper hash_sha256',
  'binary_and binary_or binary_xor binary_not binary_shift_left binary_shift_right',
  'columnifexists base64_encodestring base64_decodestring parse_cef_dictionary geo_location',
].join(' ').split(' ').join('|') + ')$');
const MAX_PARSED_COLUMNS = 10;

function transform({ source, query }) {
  const { problems, columns, syntax } = check(query, workspace(table('source', source)));
  (function walk(node) {
    const kind = node.constructor.$$fullname.split('.').pop();
    if (/Operator$/.test(kind) && !OPERATORS.test(kind)) problems.push(`${kind} is not allowed in transformKql`);
    if (kind === 'FunctionCallExpression') {
      const name = String(node.Name.SimpleName);
      if (!FUNCTIONS.test(name)) problems.push(`the function ${name} is not allowed in transformKql`);
    }
    if (kind === 'DynamicExpression') problems.push('dynamic literals are not allowed in transformKql: use parse_json');
    let parsed = 0;
    for (let i = 0; i < node.ChildCount; i++) {
      const child = node.GetChild(i);
      if (!child) continue;
      if (kind === 'ParseOperator') parsed += countNames(child);
      if (child.ChildCount !== undefined) walk(child);
    }
    if (parsed > MAX_PARSED_COLUMNS) problems.push(`parse makes ${parsed} columns, ${MAX_PARSED_COLUMNS} are allowed`);
  })(syntax);
  if (columns.TimeGenerated !== 'datetime') problems.push('the output needs TimeGenerated: datetime');
  return { problems, columns };
}

function countNames(node) {
  if (node.constructor.$$fullname.split('.').pop() === 'NameDeclaration') return 1;
  let n = 0;
  for (let i = 0; i < (node.ChildCount || 0); i++) { const c = node.GetChild(i); if (c) n += countNames(c); }
  return n;
}

const each = (items, judge) => Object.fromEntries(Object.entries(items || {}).map(([id, item]) => [id, judge(item)]));
const globals = workspace(
  ...Object.entries(input.tables || {}).map(([name, columns]) => table(name, columns)), ...(input.functions || []).map(func));
console.log(JSON.stringify({
  queries: each(input.queries, (query) => { const { problems, columns } = check(query, globals); return { problems, columns }; }),
  transforms: each(input.transforms, transform),
}));
