package report

// pageStyle is the style sheet of a page. Colours are those of Okabe and Ito,
// which people who confuse red and green tell apart; no text is below 12 px.
const pageStyle = `
:root{--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d0d7de;--panel:#f6f8fa;--link:#0550ae;
--in:#0072b2;--out:#d55e00;--rest:#8c959f;--case:#b3261e;--review:#8a5a00;--watch:#0b5f8a;
--s0:#0072b2;--s1:#d55e00;--s2:#007a5a;--s3:#b0578d;--s4:#9a6f00;--s5:#2b8cc4;--s6:#4d4d4d;--s7:#7b4fa3}
@media screen and (prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--soft:#a5afba;--line:#343b44;--panel:#161b22;--link:#79b8ff;
--in:#56b4e9;--out:#e69f00;--rest:#7d8590;--case:#ff8f85;--review:#f0c050;--watch:#7cc4f0;
--s0:#56b4e9;--s1:#e69f00;--s2:#2fc597;--s3:#e39ac4;--s4:#f0e442;--s5:#8fcdf5;--s6:#c8c8c8;--s7:#c39be8}}
*{box-sizing:border-box}
html{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;-webkit-text-size-adjust:100%}
body{max-width:1100px;margin:0 auto;padding:16px}
h1{font-size:26px;line-height:1.2;margin:0 0 12px}
h2{font-size:20px;line-height:1.3;margin:0 0 8px;overflow-wrap:anywhere}
h3{font-size:16px;margin:0 0 4px}
section{margin:28px 0 0}
section.line{border-top:2px solid var(--line);padding-top:18px}
section>h3{margin-top:18px}
section section{margin:18px 0 0}
section.part>figure,section.part>p{margin-top:4px}
p{margin:4px 0 8px}
.words{max-width:75ch;font-size:16px}
.authority{border:2px solid var(--case);padding:8px 12px;border-radius:4px;overflow-wrap:anywhere}
a{color:var(--link)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Noto Sans Mono",monospace;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 16px;margin:8px 0 14px}
dt{color:var(--soft)}
dd{margin:0;min-width:0;overflow-wrap:anywhere}
table{border-collapse:collapse;font-size:14px;line-height:1.4;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:5px 10px;border-bottom:1px solid var(--line);font-weight:400}
thead th{color:var(--soft);background:var(--panel);font-size:13px;white-space:nowrap}
.n{text-align:right;white-space:nowrap}
.scroll{overflow-x:auto;margin:0 0 10px}
.scroll table{min-width:100%}
.scroll td,.scroll tbody th{overflow-wrap:normal;white-space:nowrap}
.scroll td.wide,#losses~.scroll td{white-space:normal;min-width:15em}
.scroll code{white-space:nowrap}
.v{display:inline-block;border:1px solid currentColor;border-radius:4px;padding:0 7px;font-size:13px;line-height:20px;font-weight:600;white-space:nowrap;vertical-align:middle}
.v3{color:var(--case)}.v2{color:var(--review)}.v1{color:var(--watch)}.v0{color:var(--soft)}
figure{margin:20px 0}
figcaption p{max-width:80ch;color:var(--soft);font-size:14px}
.wf{width:100%;table-layout:fixed}
.wf tbody th{overflow-wrap:anywhere}
.wf thead th{white-space:normal;overflow-wrap:anywhere}
.wf td{padding-left:0}
.wf td .n{display:inline-block;width:52px}
.wf .k{display:none}
.bar{display:inline-block;vertical-align:middle;width:calc(100% - 62px);height:16px;margin-left:6px}
.bar .zero,.grid{stroke:var(--line);stroke-width:1;vector-effect:non-scaling-stroke;fill:none}
.bar .for{fill:var(--out)}.bar .against{fill:var(--in)}.bar .rest{fill:var(--rest)}.bar .all{fill:var(--fg)}
.whole th,.whole td{font-weight:600;border-bottom:0}
.legend svg.key{width:14px;height:14px;vertical-align:-2px;margin-left:8px}
.in{fill:var(--in)}.out{fill:var(--out)}
path.talk{stroke:var(--bg);stroke-width:.5;vector-effect:non-scaling-stroke}
.t{white-space:nowrap}
.error{fill-opacity:.3;stroke:none}
.error.s0{fill:var(--s0)}.error.s1{fill:var(--s1)}.error.s2{fill:var(--s2)}.error.s3{fill:var(--s3)}.error.s4{fill:var(--s4)}.error.s5{fill:var(--s5)}.error.s6{fill:var(--s6)}.error.s7{fill:var(--s7)}
.trace{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}
.ring{fill-opacity:.38}
.plot{display:grid;grid-template-columns:56px 1fr;gap:6px}
.plot svg{display:block;overflow:visible;min-width:0}
.plot text{font-size:12px;fill:var(--soft)}
.rows span{display:block;height:18px;line-height:18px;font-size:12px;text-align:right;color:var(--soft)}
.scale{display:flex;flex-direction:column;justify-content:space-between;height:240px;font-size:12px;line-height:1;text-align:right;color:var(--soft)}
.dots{fill:none;stroke-width:4;stroke-linecap:round;vector-effect:non-scaling-stroke}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}.s5{stroke:var(--s5)}.s6{stroke:var(--s6)}.s7{stroke:var(--s7)}
details{margin:6px 0}
summary{cursor:pointer;color:var(--link)}
ul{margin:4px 0 8px;padding-left:20px}
li{overflow-wrap:anywhere}
@media screen and (max-width:640px){
body{padding:12px}
dl{grid-template-columns:1fr;gap:0}
dd{margin-bottom:6px}
.wf,.wf tbody{display:block}
.wf thead{display:none}
.wf tr{display:grid;grid-template-columns:1fr;padding:6px 0;border-bottom:1px solid var(--line)}
.wf th,.wf td{border:0;padding:2px 0}
.wf .k{display:block;color:var(--soft);font-size:12px}
.wf td .n{text-align:left}
.plot{grid-template-columns:48px 1fr}
}
@page{size:A4;margin:14mm}
@media print{
html{font-size:12px;print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{max-width:none;padding:0}
table{font-size:12px}
th,td{padding:3px 6px}
thead th{font-size:12px}
code{font-size:12px}
.scroll{overflow:visible}
.scroll code{white-space:normal}
h2,h3,figcaption{break-after:avoid}
tr,.drawn,dl{break-inside:avoid}
.scroll tbody th{white-space:nowrap!important;overflow-wrap:normal!important}
section.line{break-before:page}
.scroll td,.scroll tbody th{white-space:normal!important;min-width:0!important;overflow-wrap:anywhere}
.scroll td.n{white-space:nowrap!important;overflow-wrap:normal}
.scroll td.wide{min-width:8.5em!important}
details{display:none}
}
`
