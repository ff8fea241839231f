//! Text that would run in a page which makes markup of it. Each calls `hit()`, which the browser
//! counts, in one of the ways that scripts have got into pages: tags, handlers, attributes that
//! are left early, addresses, templates, encodings, styles, and ends of what it might stand in.

const TAGS: [&str; 20] = [
    "<script>hit()</script>",
    "<ScRiPt>hit()</ScRiPt >",
    "<script src=data:text/javascript,hit()></script>",
    "<script type=module>hit()</script>",
    "<img src=x onerror=hit()>",
    "<img src=x: onerror=&#104;it()>",
    "<svg onload=hit()>",
    "<svg><script>hit()</script></svg>",
    "<svg><animate onbegin=hit() attributeName=x dur=1s>",
    "<body onload=hit()>",
    "<iframe srcdoc='<script>parent.hit()</script>'></iframe>",
    "<iframe src=javascript:parent.hit()>",
    "<details open ontoggle=hit()>",
    "<input autofocus onfocus=hit()>",
    "<video><source onerror=hit()></video>",
    "<math><mtext><script>hit()</script></mtext></math>",
    "<a href=javascript:hit() data-row=x autofocus onfocus=hit()>x</a>",
    "<form action=javascript:hit()><button autofocus onfocus=hit()>",
    "<object data=javascript:hit()>",
    "<style>@import 'data:text/css,*{background:url(javascript:hit())}'</style>",
];

/// What the tag may have to leave first.
const LEAVING: [&str; 4] = [
    "",
    "\"'>",
    "</title></textarea></pre></script>",
    "--><!-- ]]>",
];

const OTHERS: [&str; 16] = [
    "javascript:hit()",
    "JaVaScRiPt:hit()//",
    "data:text/html,<script>opener.hit()</script>",
    "\" onmouseover=\"hit()\" x=\"",
    "' autofocus onfocus='hit()",
    "${hit()}",
    "{{constructor.constructor('hit()')()}}",
    "`+hit()+`",
    "';hit();//",
    "\\u003cscript\\u003ehit()\\u003c/script\\u003e",
    "&lt;script&gt;hit()&lt;/script&gt;",
    "%3Cscript%3Ehit()%3C/script%3E",
    "<!--<script>hit()//-->",
    "__proto__",
    "constructor",
    "\u{202e}<script>hit()</script>\u{200b}",
];

/// More than eighty.
pub(crate) fn all() -> Vec<String> {
    let tags = LEAVING
        .iter()
        .flat_map(|before| TAGS.map(|tag| format!("{before}{tag}")));
    tags.chain(OTHERS.map(ToOwned::to_owned)).collect()
}
