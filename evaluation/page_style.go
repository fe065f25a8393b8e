package evaluation

// pageStyle is the style sheet of a page.
const pageStyle = colours + pageRest + plotStyle + pageEnd

// colours are those of Okabe and Ito, which people who confuse red and green tell
// apart.
const colours = `
:root{--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d0d7de;--panel:#f6f8fa;--link:#0550ae;
--box:#d55e00;--honest:#0072b2;--case:#b3261e;--review:#9a6200;--watch:#0b6f9e;--good:#116b3c;--bad:#b3261e;--better:#0072b2;--worse:#d55e00}
@media screen and (prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--soft:#a5afba;--line:#343b44;--panel:#161b22;--link:#79b8ff;
--box:#f0a040;--honest:#56b4e9;--case:#ff8f85;--review:#f0c050;--watch:#6cc0f0;--good:#56d38a;--bad:#ff8f85;--better:#56b4e9;--worse:#f0a040}}
`

const pageRest = `*{box-sizing:border-box}
html{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;-webkit-text-size-adjust:100%}
body{max-width:1100px;margin:0 auto;padding:20px 16px 60px}
h1{font-size:27px;line-height:1.2;margin:0 0 12px}
h2{font-size:20px;line-height:1.3;margin:0 0 4px}
h3{font-size:16px;margin:18px 0 4px}
section{margin:40px 0 0}
p{margin:4px 0 10px;max-width:95ch}
.soft,figcaption{color:var(--soft)}
a{color:var(--link)}
nav{margin:14px 0 0}
nav a{margin-right:14px;white-space:nowrap}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Noto Sans Mono",monospace;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 16px;margin:8px 0 0}
dt{color:var(--soft)}
dd{margin:0;min-width:0;overflow-wrap:anywhere}
table{border-collapse:collapse;font-size:14px;line-height:1.4;font-variant-numeric:tabular-nums;min-width:100%}
th,td{text-align:left;vertical-align:top;padding:5px 10px;border-bottom:1px solid var(--line);font-weight:400}
thead th{color:var(--soft);background:var(--panel);font-size:13px;white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap}
td.w{min-width:17em}
td.whole{white-space:nowrap}
tbody th{white-space:nowrap}
.scroll{overflow-x:auto;margin:6px 0 12px}
.tag{display:inline-block;border:1px solid currentColor;border-radius:4px;padding:0 7px;font-size:13px;line-height:20px;font-weight:600;white-space:nowrap}
.yes{color:var(--good)}.no{color:var(--bad)}.none{color:var(--soft)}
.v-watch{color:var(--watch)}.v-review{color:var(--review)}.v-case{color:var(--case)}.v-none{color:var(--soft)}
figure{margin:10px 0 0}
figcaption{max-width:105ch;font-size:14px;margin:0 0 6px}
svg.plot{display:block;width:100%;min-width:860px;height:auto}
`

// plotStyle is that of pictures, on a page or on their own.
const plotStyle = `svg text{font-size:13px;fill:var(--fg)}
svg text.t{fill:var(--soft);font-size:12.5px}
svg text.h{font-weight:600}
svg .r{text-anchor:end}svg .m{text-anchor:middle}
svg .grid{stroke:var(--line);stroke-width:1;fill:none}
svg .axis{stroke:var(--soft);stroke-width:1;fill:none}
svg .band{fill:var(--panel)}
svg .watch{stroke:var(--watch);fill:var(--watch)}
svg .review{stroke:var(--review);fill:var(--review)}
svg .case{stroke:var(--case);fill:var(--case)}
svg .whisker{stroke-width:2;stroke-opacity:.45;fill:none}
svg .curve{stroke-width:2.2;fill:none;stroke-linejoin:round}
svg .bar-line{stroke-width:1.4;stroke-dasharray:5 4;fill:none}
svg .dot{fill-opacity:.4;stroke:none}
svg .box{fill:var(--box)}svg .honest{fill:var(--honest)}
svg .median{stroke:var(--fg);stroke-width:2.5}
svg .bound{stroke:var(--fg);stroke-width:1.6;stroke-dasharray:6 4;fill:none}
svg .class{stroke:var(--honest);stroke-width:1.6;stroke-opacity:.65;fill:none}
svg .over{stroke:var(--worse);stroke-width:2.4;fill:none}
svg .mark{fill:var(--worse)}
svg .better{fill:var(--better)}svg .worse{fill:var(--worse)}
svg .cell{stroke:var(--bg);stroke-width:1.5}
svg .empty{fill:var(--panel);stroke:var(--bg);stroke-width:1.5}
`

const pageEnd = `svg.nats{width:120px;height:12px;vertical-align:-1px;margin-right:8px}
svg.nats .for{fill:var(--box)}svg.nats .against{fill:var(--honest)}svg.nats line{stroke:var(--soft);vector-effect:non-scaling-stroke}
svg.rate{width:130px;height:12px;vertical-align:-1px;margin-right:8px}
svg.rate .rail{fill:var(--line)}svg.rate .span{fill:var(--honest);fill-opacity:.55}svg.rate .at{fill:var(--fg)}
svg.rate .goal{fill:var(--bad)}
details{border-top:1px solid var(--line);padding:8px 0}
details:last-of-type{border-bottom:1px solid var(--line)}
summary{cursor:pointer}
summary b{font-weight:600}
ul{margin:4px 0 8px;padding-left:20px;color:var(--soft)}
.legend span{margin-right:16px;white-space:nowrap}
.legend svg{width:26px;height:10px;margin-right:5px}
@media screen and (max-width:640px){body{padding:12px}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:6px}}
@page{size:A4 landscape;margin:12mm}
@media print{html{font-size:12px;print-color-adjust:exact;-webkit-print-color-adjust:exact}body{max-width:none;padding:0}
.scroll{overflow:visible}svg.plot{min-width:0}h2,h3,figcaption{break-after:avoid}tr,figure{break-inside:avoid}nav{display:none}}
`

// aloneStyle is what a picture needs besides when no page is around it.
const aloneStyle = `svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
svg .ground{fill:var(--bg)}
svg text{font-size:13.5px}
svg text.title{font-size:16px;font-weight:600}
`
