//! From texts to compiled scripts: parse, resolve imports, lint.
//!
//! Libraries are compiled first, each after those it imports; a script then carries its imports in itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhai::module_resolvers::StaticModuleResolver;
use rhai::{AST, ASTNode, Engine, Expr, Module, Position, Scope, Stmt};
use sereno_runtime::diagnostic::Diagnostic;

use crate::engine::{self, Host};
use crate::error::{ScriptError, from_parser, line_and_column};
use crate::library::Source;
use crate::lint::{Catalogue, Finding, Kind, Signature, lint, suggest};
use crate::unit::{Texts, Unit};

/// A compiled library of functions.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) texts: Texts,
    module: Arc<Module>,
    functions: Vec<Signature>,
}

/// Compiles the scripts of one generation.
pub(crate) struct Compiler<'a> {
    host: Arc<Host>,
    /// Like the host's, but it can resolve imports.
    engine: Engine,
    resolver: StaticModuleResolver,
    catalogue: Catalogue,
    libraries: BTreeMap<&'a str, &'a Source>,
    /// The names of the aggregations of this generation, broken ones included.
    aggregations: BTreeSet<String>,
    previous: &'a BTreeMap<String, Import>,
    /// What came of each library; `None` while it is being compiled, and when it cannot be.
    imports: BTreeMap<String, Option<Import>>,
    /// What was found in libraries.
    pub(crate) found: Vec<Diagnostic>,
    /// The libraries whose last good version stands in.
    pub(crate) stale: Vec<String>,
}

/// An `import` in a script.
struct Wanted {
    path: Option<String>,
    alias: String,
    position: Position,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(
        host: Arc<Host>,
        libraries: BTreeMap<&'a str, &'a Source>,
        aggregations: BTreeSet<String>,
        previous: &'a BTreeMap<String, Import>,
    ) -> Self {
        let engine = engine::build(&host.limits);
        let catalogue = Catalogue::of(&engine);
        let resolver = StaticModuleResolver::new();
        let (imports, found, stale) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { host, engine, resolver, catalogue, libraries, aggregations, previous, imports, found, stale }
    }

    /// The compiled libraries by their places; those that cannot be compiled are missing.
    pub(crate) fn into_imports(self) -> BTreeMap<String, Import> {
        self.imports.into_iter().filter_map(|(path, import)| Some((path, import?))).collect()
    }

    /// Compiles every library that is not compiled yet.
    pub(crate) fn compile_libraries(&mut self) {
        let paths: Vec<&str> = self.libraries.keys().copied().collect();
        for path in paths {
            self.import(path);
        }
    }

    /// Whether the texts are still those of this generation.
    pub(crate) fn is_current(&self, texts: &Texts, main: &Source) -> bool {
        let same = |(path, source): (&String, &Source)| {
            self.imports
                .get(path)
                .and_then(Option::as_ref)
                .is_some_and(|import| import.texts.main() == source)
        };
        texts.main() == main && texts.imports().iter().all(same)
    }

    /// Compiles a rule or an aggregation.
    pub(crate) fn unit(&mut self, source: &Source, kind: Kind) -> Result<Unit, Vec<Diagnostic>> {
        let (texts, ast, warnings) = self.compile(source, kind)?;
        Ok(Unit { texts, ast, warnings, host: self.host.clone() })
    }

    /// The library of this path, compiled on first use.
    fn import(&mut self, path: &str) -> Option<Import> {
        if let Some(known) = self.imports.get(path) {
            return known.clone();
        }
        let source = *self.libraries.get(path)?;
        self.imports.insert(path.to_owned(), None);
        let import = match self.library(source) {
            Ok(import) => Some(import),
            Err(findings) => {
                self.found.extend(findings);
                let last_good = self.previous.get(path).cloned();
                self.stale.extend(last_good.iter().map(|_| path.to_owned()));
                last_good
            }
        };
        if let Some(import) = &import {
            self.resolver.insert(path.trim_end_matches(".rhai"), (*import.module).clone());
            self.engine.set_module_resolver(self.resolver.clone());
        }
        self.imports.insert(path.to_owned(), import.clone());
        import
    }

    fn library(&mut self, source: &Source) -> Result<Import, Vec<Diagnostic>> {
        let (texts, ast, warnings) = self.compile(source, Kind::Library)?;
        self.found.extend(warnings);
        let module = Module::eval_ast_as_new(Scope::new(), &ast, &self.engine)
            .map_err(|error| vec![*ScriptError::from_engine(&texts, *error).diagnostic])?;
        let functions =
            ast.iter_functions().map(|function| (function.name.to_owned(), function.params.len())).collect();
        Ok(Import { texts, module: Arc::new(module), functions })
    }

    fn compile(
        &mut self,
        source: &Source,
        kind: Kind,
    ) -> Result<(Texts, AST, Vec<Diagnostic>), Vec<Diagnostic>> {
        let alone = Texts::new(source.clone(), BTreeMap::new());
        let parsed = self.engine.compile(&*source.text).map_err(|error| vec![from_parser(&alone, &error)])?;
        let mut findings = Vec::new();
        let (mut modules, mut imports) = (BTreeMap::new(), BTreeMap::new());
        for wanted in imports_of(&parsed) {
            match self.resolve(&wanted) {
                Ok(import) => {
                    imports.extend(import.texts.imports().clone());
                    let main = import.texts.main();
                    imports.insert(main.path.clone(), main.clone());
                    modules.insert(wanted.alias, import.functions);
                }
                Err(finding) => findings.push(finding),
            }
        }
        if findings.is_empty() {
            findings = lint(&self.catalogue, &parsed, kind, &modules, &self.aggregations);
        }
        let is_broken = findings.iter().any(|finding| !finding.is_warning);
        let found: Vec<Diagnostic> =
            findings.into_iter().map(|finding| diagnostic(source, finding)).collect();
        if is_broken {
            return Err(found);
        }
        let texts = Texts::new(source.clone(), imports);
        let mut ast = match texts.imports().is_empty() {
            true => parsed,
            false => self
                .engine
                .compile_into_self_contained(&Scope::new(), &*source.text)
                .map_err(|error| vec![*ScriptError::from_engine(&texts, *error).diagnostic])?,
        };
        ast.set_source(source.path.as_str());
        Ok((texts, ast, found))
    }

    fn resolve(&mut self, wanted: &Wanted) -> Result<Import, Finding> {
        let finding = |message: String, hint: Option<String>| Finding {
            position: wanted.position,
            length: "import".len(),
            message,
            hint,
            is_warning: false,
        };
        let Some(path) = &wanted.path else {
            return Err(finding("the path of an import is a plain text".to_owned(), None));
        };
        let file = format!("{path}.rhai");
        if !self.libraries.contains_key(file.as_str()) {
            let known = self.libraries.keys().map(|path| path.trim_end_matches(".rhai"));
            let near = suggest(path, known).map(|near| format!("did you mean \"{near}\"?"));
            let hint = near.unwrap_or_else(|| {
                "imports are \"lib/NAME\", for lib/NAME.rhai among the scripts".to_owned()
            });
            return Err(finding(format!("there is no library \"{path}\""), Some(hint)));
        }
        self.import(&file).ok_or_else(|| {
            finding(
                format!("\"{path}\" cannot be imported: it is broken, or imports this script itself"),
                None,
            )
        })
    }
}

fn imports_of(ast: &AST) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Import(import, position))) = path.last() {
            let path = match &import.0 {
                Expr::StringConstant(path, _) => Some(path.to_string()),
                _ => None,
            };
            wanted.push(Wanted { path, alias: import.1.name.to_string(), position: *position });
        }
        true
    });
    wanted
}

fn diagnostic(source: &Source, finding: Finding) -> Diagnostic {
    let (line, column) = line_and_column(finding.position);
    let length = u32::try_from(finding.length).unwrap_or(0);
    let diagnostic = match finding.is_warning {
        true => Diagnostic::warning(&source.display, finding.message),
        false => Diagnostic::error(&source.display, finding.message),
    };
    let diagnostic = diagnostic.at(&source.text, line, column, length);
    match finding.hint {
        Some(hint) => diagnostic.hint(hint),
        None => diagnostic,
    }
}
