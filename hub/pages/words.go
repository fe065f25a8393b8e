package pages

// chinese pairs what pages say with its translation, beside what package report
// knows. Templates are in English, and a test looks that each of their words is known.
func chinese() [][2]string {
	return [][2]string{
		// The frame.
		{"Skip to the content", "跳到正文"}, {"Pages", "页面"}, {"Sign in", "登录"}, {"Sign in with the organisation's account", "使用单位账号登录"}, {"Sign out", "退出"}, {"Password", "密码"}, {"Help", "帮助"},
		{"Findings", "发现"}, {"Rings", "团伙"}, {"Cases", "案件"}, {"Sensors", "探针"}, {"Declared gateways", "已登记网关"}, {"Audit log", "审计日志"},
		{"viewer", "查看员"}, {"analyst", "分析员"}, {"admin", "管理员"}, {"auditor", "审计员"},
		{"Addresses of lines are in clear, and each page is in the audit log. Ends at (UTC):", "线路地址为明文，每次查看均记入审计日志。到期时间（UTC）："},
		{"Mask again", "恢复遮蔽"}, {"Show addresses of lines", "显示线路地址"}, {"Unlock", "解除遮蔽"},
		{"Each page that is shown in clear is written to the audit log with this reference before it is shown.", "每个以明文显示的页面，在显示之前都会连同此授权编号写入审计日志。"},
		{"Cards, numbers and accounts are pseudonyms: equal ones are equal, and the hub has no others. Times are UTC.", "卡号、号码和账号均为假名：相同者假名相同，中心没有其明文。时间均为 UTC。"},
		{"Not shown", "无法显示"}, {"An authority, below, may allow it.", "在下方填写授权后或可查看。"}, {"Problem", "问题"},

		// Words of lists.
		{"any", "不限"}, {"yes", "是"}, {"no", "否"}, {"none", "无"}, {"nothing", "无"}, {"not told", "未说明"}, {"All", "全部"}, {"Filter", "筛选"}, {"Export", "导出"},
		{"At least", "至少"}, {"Line, network or id", "线路、网段或标识"}, {"Sensor", "探针"}, {"Make", "厂商"}, {"Controller", "控制端"}, {"Card", "卡"}, {"Cards", "卡"}, {"Lines", "线路"},
		{"Boxes", "设备"}, {"Box", "设备"}, {"box", "设备"}, {"Ring", "团伙"}, {"ring", "团伙"}, {"controller", "控制端"}, {"card", "卡"}, {"boxes", "设备"}, {"lines", "线路"}, {"Case", "案件"}, {"Finding", "发现"},
		{"Seen from (UTC)", "所见自（UTC）"}, {"until (UTC)", "至（UTC）"}, {"Time (UTC)", "时间（UTC）"},
		{"Saved views", "已存视图"}, {"Save this filter as", "将此筛选存为"}, {"Save", "保存"}, {"Remove", "移除"}, {"Remove the view", "移除视图"},
		{"Nothing on this page.", "本页没有内容。"}, {"Nothing among those that were looked through; there are more behind them.", "已查看的部分中没有；后面还有。"}, {"All sensors", "全部探针"}, {"Pages of the list", "列表分页"}, {"First page", "首页"}, {"Next page", "下一页"}, {"All findings", "全部发现"},
		{"Older than these:", "更早的还有："}, {"Outcome", "结果"}, {"Title", "标题"}, {"State", "状态"}, {"Owner", "负责人"}, {"Note", "备注"},
		{"confirmed", "属实"}, {"innocent", "不实"}, {"not known yet", "尚不明"}, {"open", "处理中"}, {"handed over", "已移交"}, {"closed", "已结案"}, {"ended", "已到期"},
		{"Opened (UTC)", "立案时间（UTC）"}, {"Closed (UTC)", "结案时间（UTC）"}, {"Ends (UTC)", "到期（UTC）"}, {"Received (UTC)", "收到时间（UTC）"},

		// The overview and the sensors.
		{"Newest at review or above", "最新的“复核”及以上发现"}, {"No line at review or above.", "没有达到“复核”及以上的线路。"}, {"Newest rings", "最新团伙"}, {"No ring yet.", "尚无团伙。"},
		{"Open cases", "处理中的案件"}, {"No open case.", "没有处理中的案件。"}, {"Silent taps", "静默的镜像口"}, {"With something amiss", "存在异常"}, {"No tap is silent.", "没有静默的镜像口。"},
		{"Amiss", "异常"}, {"Last report (UTC)", "最近上报（UTC）"}, {"Judged up to (UTC)", "已判定至（UTC）"}, {"Version", "版本"}, {"Tables", "参数表"}, {"Policy", "策略"}, {"Certificate ends (UTC)", "证书到期（UTC）"},
		{"Records missing", "缺失记录"}, {"No sensor is admitted yet.", "尚未准入任何探针。"}, {"revoked", "已吊销"},
		{"has never reported", "从未上报"}, {"does not report", "没有上报"}, {"its certificate has ended", "证书已到期"}, {"its clock is off by more than a second", "时钟偏差超过一秒"}, {"records are missing", "有记录缺失"},
		{"tap-silent/%q", "镜像口静默：{1}"}, {"ring-loss/%q", "接收环丢帧：{1}"}, {"queues-unbalanced/%q", "队列不均：{1}"}, {"hub-unreachable", "无法连接中心"}, {"outbox-dropping", "待发队列丢失"},
		{"hub-certificate", "证书未续期"}, {"clock-unsynchronised", "时钟未同步"}, {"tap-one-way", "镜像口只见单向"}, {"mirror-doubled", "镜像重复"}, {"update-refused", "系统升级被拒"}, {"data-lost", "数据分区不可用"}, {"capture-fallback", "已退回普通抓包"},

		// A line.
		{"No finding of this line is kept.", "没有保存此线路的发现。"}, {"Work on it", "处理"}, {"Open a case", "立案"}, {"What was found there", "现场结果"}, {"Set the outcome", "登记结果"},
		{"How fast sending clocks were, line by line, with their uncertainty. Lines that hold one chassis are at one height.", "逐条线路给出发送时钟的快慢及其不确定度。接有同一机箱的线路处于同一高度。"},
		{"History", "历史"}, {"Revisions as a table", "修订列表"}, {"All findings of the line", "此线路的全部发现"},
		{"%d call(s) on %d row(s)", "{1} 个呼叫，{2} 行"}, {"%d revision(s)", "{1} 次修订"}, {"finding %q", "发现 {1}"}, {"box %q", "设备 {1}"},

		// Boxes, rings, controllers.
		{"What holds it together", "相互关联"}, {"Graph", "关系图"}, {"Edges as a table", "关联列表"}, {"From", "自"}, {"To", "至"}, {"not drawn:", "未绘出："}, {"Nothing is kept of it.", "没有保存其内容。"},
		{"Controllers drive boxes, boxes were seen on lines (dashed), cards were seen on lines. An edge between two lines says why both held one box, or, dotted, why one hand drives what they hold, and what that is worth in nats.",
			"控制端驱动设备；设备见于线路（虚线）；卡见于线路。两条线路之间的连线说明为何判定两者接过同一台设备，点线则说明为何判定由同一人操控，以及其分量（nat）。"},
		{"Speaks of", "指向"}, {"one box", "同一台设备"}, {"one hand", "同一人操控"}, {"links", "关联"},
		{"%d controller(s), %d box node(s), %d line(s), %d card(s)", "控制端 {1} 个，设备 {2} 台，线路 {3} 条，卡 {4} 张"},
		{"seen on", "见于"}, {"the card was seen there", "卡见于该线路"},
		{"the same card", "同一张卡"}, {"the same cards", "相同的卡"}, {"the same accounts", "相同的账号"}, {"the same address behind the NAT", "相同的内网地址"}, {"the same RTCP CNAME", "相同的 RTCP CNAME"},
		{"the same controller and header shape", "相同的控制端与首部形态"}, {"sending clocks that agree", "发送时钟一致"}, {"one falls silent as the other starts", "一条静默时另一条开始"},
		{"Address or network", "地址或网段"}, {"All, newest first", "全部，按时间倒序"}, {"By fan-in", "按汇聚度"}, {"Fan-in", "汇聚度"}, {"Lines at review or above", "“复核”及以上线路"},
		{"Those that most lines at review or above speak to, then those that most lines do: among the busiest of the newest hours and of the newest rings.",
			"先按与之通信的“复核”及以上线路数、再按全部线路数排序；取自最近时段最忙者与最新团伙的控制端。"},
		{"Findings that name it", "涉及它的发现"},

		{"sending clocks %d ppm apart", "发送时钟相差 {1} ppm"}, {"%d and %d cards, none the same", "{1} 张与 {2} 张卡，无一相同"}, {"%d of %d cards the same, known from %d lines", "{2} 张卡中有 {1} 张相同，见于 {3} 条线路"},
		{"no account the same", "没有相同的账号"}, {"%d of %d accounts the same, known from %d lines", "{2} 个账号中有 {1} 个相同，见于 {3} 条线路"}, {"another address behind the NAT", "内网地址不同"},
		{"the same address behind the NAT, known from %d lines", "相同的内网地址，见于 {1} 条线路"}, {"another RTCP CNAME", "RTCP CNAME 不同"}, {"the same RTCP CNAME, known from %d lines", "相同的 RTCP CNAME，见于 {1} 条线路"},
		{"SIP messages of another shape", "SIP 消息形态不同"}, {"one controller of %d lines, SIP messages of one shape", "同一控制端（{1} 条线路），SIP 消息形态相同"},
		{"one controller of %d lines, %d of them suspect, in %d shapes of SIP messages", "同一控制端（{1} 条线路，其中 {2} 条可疑），SIP 消息有 {3} 种形态"},

		// Cases.
		{"A new case", "新案件"}, {"From the page of a line, a box or a ring a case begins with what belongs to it.", "在线路、设备或团伙页面立案，可直接带入其内容。"},
		{"Comments", "意见"}, {"Comment", "意见"}, {"Add the comment", "添加意见"}, {"Change the case", "修改案件"}, {"Evidence", "证据"},
		{"A signed bundle of what is known of the case. The reference is written to the audit log before it is made.", "案件已知内容的签名证据包。制作之前，授权编号先写入审计日志。"},

		// The register and the audit log.
		{"Lines with equipment that the operator knows of. Findings of them say so; an entry always ends.", "运营商已知设备所在的线路。其发现会注明；每项登记都有到期时间。"},
		{"None is declared.", "没有登记。"}, {"Declare a gateway", "登记网关"}, {"Declare", "登记"}, {"Days", "天数"}, {"Change", "修改"},
		{"Anchor that was kept elsewhere", "另行保存的锚点"}, {"Follow the chain", "校验链"}, {"The log is whole. Keep this elsewhere:", "日志完整。请另行保存："}, {"The log is not what it was, from entry", "日志已非原样，自条目"},
		{"Entry", "条目"}, {"Action", "操作"}, {"Object", "对象"}, {"Detail", "详情"}, {"Newest", "最新"}, {"Older", "更早"},

		// Help.
		{"Keys", "按键"}, {"Key", "按键"}, {"Does", "作用"}, {"What the words mean", "用语说明"},
		{"Everything works with the keyboard alone: Tab goes on, Enter follows. These are shorter; they do nothing while you type.", "全部功能均可只用键盘完成：Tab 前进，Enter 打开。以下为快捷键；输入文字时不起作用。"},
		{"goes to", "转到"}, {"goes to the next or the previous row of a list", "转到列表的下一行或上一行"}, {"opens the row", "打开该行"}, {"goes to the filter", "转到筛选"}, {"goes to the next page of a list", "转到列表下一页"}, {"opens this page", "打开本页"},

		// What went wrong.
		{"there is no such page", "没有此页面"}, {"the form is not one of this session: load the page again", "表单不属于本次会话：请重新加载页面"}, {"this account may not do that", "此账户无权进行此操作"}, {"the form makes no sense", "表单内容无效"},
		{"sign in first", "请先登录"}, {"the account and the password do not belong together", "账户与密码不符"}, {"the session is unknown or has ended: log in again", "会话不存在或已结束：请重新登录"}, {"too many log in at once: try again", "同时登录者过多：请重试"},
		{"too many failed logins: try again in %q", "登录失败次数过多：请在 {1} 后重试"},
		{"the hub cannot log anybody in now", "中心目前无法登录"}, {"the hub cannot look at sessions now", "中心目前无法查验会话"}, {"the hub cannot end sessions now", "中心目前无法结束会话"},
		{"the hub's store failed; its log says how", "中心的存储出错，详见其日志"}, {"the hub failed; its log says how", "中心出错，详见其日志"}, {"the hub is busy; ask again", "中心繁忙，请重试"},
		{"there is none of that id", "没有此标识"}, {"the line has no such finding", "此线路没有该发现"}, {"id: want 32 hexadecimal digits, as lists give them", "标识应为 32 位十六进制数字，如列表所示"},
		{"filter: lines: more of an address than /24 (IPv6: /48) needs an authority", "筛选：线路：比 /24（IPv6：/48）更长的地址需要授权"}, {"filter: %q makes no sense", "筛选：{1} 无效"},
		{"this account may not see addresses of lines in clear; ask for them without an authority", "此账户无权查看线路明文地址；请在无授权下查询"},
		{"authority: a blank text names none", "授权：空白文字无效"}, {"authority: more than %d characters", "授权：超过 {1} 个字符"}, {"authority: has characters that cannot be shown", "授权：含有无法显示的字符"},
		{"title: a case needs one", "案件需要标题"}, {"a view has a name of 1 to 40 characters", "视图名称为 1 至 40 个字符"}, {"a comment without words", "意见没有内容"},
		{"this account has as many views as it may: remove some", "此账户的视图已满：请先移除一些"}, {"days: want 1 to 3650", "天数应为 1 至 3650"},
		{"the use of the authority could not be written down, so nothing is shown", "授权的使用未能写入日志，因此不予显示"}, {"the change could not be written down, so nothing is changed", "修改未能写入日志，因此未作修改"},
	}
}
