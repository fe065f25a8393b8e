// What has changed is loaded anew, and keys lead about. Pages work without it.
"use strict";
(function () {
	var body = document.body;

	// Requests that the page makes by itself say so: they keep no session awake.
	body.addEventListener("htmx:configRequest", function (e) {
		e.detail.headers["X-Simtrap-Live"] = "1";
	});
	// Nobody's place is lost while he is in what would be replaced.
	body.addEventListener("htmx:beforeSwap", function (e) {
		if (e.detail.target && e.detail.target.contains(document.activeElement)) {
			e.detail.shouldSwap = false;
		}
	});

	if (body.dataset.live && window.EventSource) {
		var source = new EventSource(body.dataset.live);
		var waiting = {};
		source.addEventListener("changed", function (e) {
			// Not more often than every two seconds, and not while nobody looks.
			if (waiting[e.data]) { return; }
			waiting[e.data] = true;
			var tell = function () {
				if (document.hidden) { setTimeout(tell, 2000); return; }
				waiting[e.data] = false;
				body.dispatchEvent(new CustomEvent("changed-" + e.data));
			};
			setTimeout(tell, 2000);
		});
		source.addEventListener("ended", function () {
			source.close();
			// Not by loading the page anew, which would keep the session awake.
			location.replace("/sign-in?left&next=" + encodeURIComponent(location.pathname + location.search));
		});
		addEventListener("pagehide", function () { source.close(); });
	}

	var typing = function (t) {
		return t.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(t.tagName);
	};
	var rows = function () {
		return Array.prototype.slice.call(document.querySelectorAll("table[data-rows] tbody a"))
			.filter(function (a, i, all) { return i === 0 || a.closest("tr") !== all[i - 1].closest("tr"); });
	};
	var step = function (by) {
		var list = rows();
		if (!list.length) { return; }
		var at = list.findIndex(function (a) { return a.closest("tr").contains(document.activeElement); });
		list[at < 0 ? 0 : Math.min(Math.max(at + by, 0), list.length - 1)].focus();
	};
	var go = 0;
	document.addEventListener("keydown", function (e) {
		if (e.ctrlKey || e.metaKey || e.altKey || typing(e.target)) { return; }
		if (Date.now() - go < 1500) {
			go = 0;
			var link = document.querySelector('nav a[data-key="' + CSS.escape(e.key) + '"]');
			if (link) { e.preventDefault(); link.click(); }
			return;
		}
		switch (e.key) {
		case "g": go = Date.now(); break;
		case "j": step(1); break;
		case "k": step(-1); break;
		case "n":
			var next = document.querySelector('a[rel="next"]');
			if (next) { next.click(); }
			break;
		case "?": location.href = "/help"; break;
		case "/":
			var field = document.querySelector("form.filter input, form.filter select");
			if (field) { e.preventDefault(); field.focus(); }
			break;
		}
	});
})();
