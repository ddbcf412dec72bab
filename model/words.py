"""What a release's report says: the answer in English and Indonesian, and the names of what was measured."""

from collections.abc import Mapping

from model.promise import Language

ANSWER: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "title": "The answer",
        "on": "This release may change the order of the queue. No call is dropped, ended or answered by it.",
        "off": "This release leaves the queue as it is: first come, first served. Operators see scores and reasons "
        "beside the calls; nobody's turn changes.",
        "busy": "In busy hours",
        "if_busy": "If this release were allowed to defer calls, in busy hours",
        "lead": "{when} {rule} of {whole} genuine callers would have hung up unanswered instead of {first}.",
        "lead_same": "{when} about as many genuine callers would have hung up unanswered as today: {rule} of {whole}.",
        "weeks": "week to week",
        "days": "day to day",
        "range": "Range from {blocks}: {rule_span} of {whole} with this release, {first_span} first come, first "
        "served.",
        "fewer": "Fewer are lost, and that is more than chance.",
        "more": "More are lost, not fewer, and that is more than chance.",
        "unsure": "With {callers} genuine callers this difference cannot be told from chance.",
        "overload": "In overload (a fifth more work than the operators can do): {rule} of {whole} instead of {first}.",
        "overload_same": "In overload (a fifth more work than the operators can do) about as many: {rule} of {whole}.",
        "price": "The price: the longest wait of anybody in busy hours would be {ratio} times that of first come, "
        "first served ({span}). A genuine caller would be held back by {held} at most.",
        "marked": "{marked} of {genuine} genuine calls were marked as a likely prank. Marked calls are answered too.",
        "in_sample": "The limit was set on these same calls; on later ones it may be more or less.",
        "none_marked": "0 of {genuine} genuine calls were marked as a likely prank: this release marks no call.",
        "promise": "At this volume ({callers} genuine callers) the strictest promise possible is: at most {best} "
        "genuine callers marked. This release promises at most {alpha}, at {confidence} confidence.",
        "no_promise": "At this volume ({callers} genuine callers) the centre can promise at most this: no more than "
        "{best} genuine callers marked. Asked for is {alpha}; for that, {missing} more genuine callers are needed.",
        "no_callers": "There was no genuine caller to prove anything with; for a promise of {alpha}, {missing} are "
        "needed.",
        "no_waits": "What the queue would have been like could not be measured: the calls that were measured hold "
        "{genuine} genuine calls, and a replay needs genuine calls and times.",
        "worse": "Worse off than first come, first served",
        "if_worse": "If calls were deferred, these would be worse off than first come, first served",
        "worse_wait": "wait {rule} on average instead of {first} {when} ({span} times as long)",
        "worse_lost": "{rule} of {whole} lost instead of {first} {when}",
        "worse_also": "likewise {whens}",
        "worse_calls": "measured on {calls} genuine calls of {callers} callers",
        "none_worse": "None of the {groups} groups of genuine callers that were looked at was shown to be worse off "
        "than first come, first served.",
        "untold": "For {number} groups a gain is not shown either (in brackets: genuine calls): {names}.",
        "allowed": "What this release may do",
        "same": "{stage}: the same.",
        "until": "This ends on {expires}, and earlier when anything it rests on changes (see \u201cThe "
        "certificate\u201d).",
        "promised": "What is promised to every caller who is deferred",
        "if_promised": "What would be promised to every caller who is deferred",
        "sentence": "Only calls that arrive within the next defer_s seconds (never more than {cap}) may be answered "
        "before this one; at the centre's normal pace that is about defer_s of extra waiting at most.",
        "sentence_means": "defer_s is the number of seconds that Saring gives to a call when it joins the queue.",
        "outside": "Not covered: an operator who answers out of order, a telephone system that queues a call "
        "again, and a pace slower than normal: the sentence limits who may pass, not the seconds of waiting.",
        "how": "How this was measured: the {calls} calls of {since} to {until}, from which the scores were not made, "
        "replayed with {operators} operators. They came at {per_hour} an hour, {handling} of work each, so in truth "
        "the operators were busy {busy} % of the time. \u201cBusy hours\u201d are the same calls pressed together "
        "until the operators are busy 95 of 100 seconds; genuine callers are taken to wait {patience} on average "
        "before they hang up.",
        "quiet": "In ordinary hours hardly anybody waits here, and the order of the queue changes little.",
    },
    "id": {
        "title": "Jawaban singkat",
        "on": "Rilis ini boleh mengubah urutan antrean. Tidak ada panggilan yang dibuang, diputus, atau dijawab "
        "olehnya.",
        "off": "Rilis ini tidak mengubah antrean: yang datang dulu dilayani dulu. Operator melihat skor dan alasan di "
        "samping panggilan; giliran siapa pun tidak berubah.",
        "busy": "Pada jam sibuk",
        "if_busy": "Seandainya rilis ini boleh menunda panggilan, pada jam sibuk",
        "lead": "{when} {rule} dari {whole} penelepon darurat akan menutup telepon sebelum dijawab, bukan {first}.",
        "lead_same": "{when} kira-kira sama banyak penelepon darurat yang akan menutup telepon sebelum dijawab seperti "
        "sekarang: {rule} dari {whole}.",
        "weeks": "dari minggu ke minggu",
        "days": "dari hari ke hari",
        "range": "Kisaran {blocks}: {rule_span} dari {whole} dengan rilis ini, {first_span} menurut urutan datang.",
        "fewer": "Yang gagal terlayani berkurang, dan itu bukan kebetulan.",
        "more": "Yang gagal terlayani bertambah, bukan berkurang, dan itu bukan kebetulan.",
        "unsure": "Dengan {callers} penelepon darurat, perbedaan ini tidak dapat dibedakan dari kebetulan.",
        "overload": "Saat kelebihan beban (pekerjaan seperlima lebih banyak daripada kemampuan operator): {rule} dari "
        "{whole}, bukan {first}.",
        "overload_same": "Saat kelebihan beban (pekerjaan seperlima lebih banyak daripada kemampuan operator) "
        "kira-kira sama banyak: {rule} dari {whole}.",
        "price": "Harganya: waktu tunggu terlama di antara semua penelepon pada jam sibuk akan menjadi {ratio} kali "
        "lipat dibanding urutan datang ({span}). Penelepon darurat akan tertahan paling lama {held}.",
        "marked": "{marked} dari {genuine} panggilan darurat ditandai kemungkinan iseng. Panggilan yang ditandai tetap "
        "dijawab.",
        "in_sample": "Batasnya ditetapkan dari panggilan yang sama; pada panggilan berikutnya bisa lebih atau kurang.",
        "none_marked": "0 dari {genuine} panggilan darurat ditandai kemungkinan iseng: rilis ini tidak menandai "
        "panggilan apa pun.",
        "promise": "Dengan jumlah ini ({callers} penelepon darurat) janji paling ketat yang mungkin: paling banyak "
        "{best} penelepon darurat ditandai. Rilis ini menjanjikan paling banyak {alpha}, dengan keyakinan "
        "{confidence}.",
        "no_promise": "Dengan jumlah ini ({callers} penelepon darurat) pusat paling banyak dapat menjanjikan: tidak "
        "lebih dari {best} penelepon darurat ditandai. Yang diminta {alpha}; untuk itu masih diperlukan {missing} "
        "penelepon darurat lagi.",
        "no_callers": "Tidak ada penelepon darurat untuk membuktikan apa pun; untuk janji {alpha} diperlukan "
        "{missing}.",
        "no_waits": "Keadaan antrean tidak dapat diukur: di antara panggilan yang diukur ada {genuine} panggilan "
        "darurat, sedangkan pemutaran ulang memerlukan panggilan darurat dan waktunya.",
        "worse": "Lebih dirugikan daripada menurut urutan datang",
        "if_worse": "Seandainya panggilan ditunda, yang ini akan lebih dirugikan daripada menurut urutan datang",
        "worse_wait": "menunggu rata-rata {rule}, bukan {first}, {when} ({span} kali lebih lama)",
        "worse_lost": "{rule} dari {whole} gagal terlayani, bukan {first}, {when}",
        "worse_also": "begitu pula {whens}",
        "worse_calls": "diukur pada {calls} panggilan darurat dari {callers} penelepon",
        "none_worse": "Dari {groups} kelompok penelepon darurat yang diperiksa, tidak ada yang terbukti lebih "
        "dirugikan daripada menurut urutan datang.",
        "untold": "Untuk {number} kelompok, keuntungan pun belum terbukti (dalam kurung: panggilan darurat): {names}.",
        "allowed": "Yang boleh dilakukan rilis ini",
        "same": "{stage}: sama.",
        "until": "Ini berakhir pada {expires}, dan lebih awal bila dasarnya berubah (lihat \u201cThe "
        "certificate\u201d).",
        "promised": "Janji kepada setiap penelepon yang ditunda",
        "if_promised": "Janji kepada setiap penelepon seandainya ditunda",
        "sentence": "Hanya panggilan yang masuk dalam defer_s detik berikutnya (tidak pernah lebih dari {cap}) yang "
        "boleh dijawab sebelum panggilan ini; pada laju normal pusat, itu berarti tambahan tunggu paling lama "
        "kira-kira defer_s.",
        "sentence_means": "defer_s adalah jumlah detik yang diberikan Saring kepada panggilan saat masuk antrean.",
        "outside": "Tidak tercakup: operator yang menjawab tidak menurut urutan, sistem telepon yang mengantrekan "
        "ulang, dan laju yang lebih lambat dari biasanya: janji ini membatasi siapa yang boleh mendahului, bukan "
        "lamanya menunggu.",
        "how": "Cara mengukur: {calls} panggilan dari {since} sampai {until}, yang tidak dipakai untuk membuat skor, "
        "diputar ulang dengan {operators} operator. Panggilan datang {per_hour} per jam, masing-masing {handling} "
        "pekerjaan, jadi sebenarnya operator sibuk {busy} % dari waktunya. \u201cJam sibuk\u201d adalah panggilan yang "
        "sama, dirapatkan sampai operator sibuk 95 dari 100 detik; penelepon darurat dianggap menunggu rata-rata "
        "{patience} sebelum menutup telepon.",
        "quiet": "Pada jam biasa hampir tidak ada yang menunggu di sini, dan urutan antrean tidak banyak berpengaruh.",
    },
}

WHEN: Mapping[str, Mapping[Language, str]] = {
    "hang_ups_0.95": {"en": "in busy hours", "id": "pada jam sibuk"},
    "hang_ups_1.2": {"en": "in overload", "id": "saat kelebihan beban"},
    "hang_ups_2.0": {"en": "with twice the work", "id": "dengan pekerjaan dua kali lipat"},
    "no_hang_ups_0.95": {"en": "in busy hours if nobody hangs up", "id": "pada jam sibuk bila tak ada yang menyerah"},
}

SLICES: Mapping[str, Mapping[Language, str]] = {
    "all": {"en": "genuine callers as a whole", "id": "penelepon darurat secara keseluruhan"},
    "silent": {"en": "silent callers", "id": "penelepon yang diam"},
    "audio_missing": {
        "en": "callers whose silence was not measured",
        "id": "penelepon yang keheningannya tidak terukur",
    },
    "no_number": {"en": "callers without a number", "id": "penelepon tanpa nomor"},
    "shared_phone": {
        "en": "callers from a number that also has calls closed as not genuine",
        "id": "penelepon dari nomor yang juga punya panggilan yang ditutup sebagai bukan darurat",
    },
    "chronic": {"en": "callers who ring often", "id": "penelepon yang sering menelepon"},
    "first_call": {"en": "first-time callers", "id": "penelepon pertama kali"},
    "storm": {"en": "callers while many ring at once", "id": "penelepon saat banyak yang menelepon sekaligus"},
    "night": {"en": "callers at night (22:00 to 05:59)", "id": "penelepon malam hari (22.00 sampai 05.59)"},
    "line_mobile": {"en": "callers on a mobile phone", "id": "penelepon dari telepon seluler"},
    "line_landline": {"en": "callers on a landline", "id": "penelepon dari telepon rumah"},
    "line_payphone": {"en": "callers at a payphone", "id": "penelepon dari telepon umum"},
    "line_voip": {"en": "callers over the internet (VoIP)", "id": "penelepon lewat internet (VoIP)"},
    "line_no_sim": {"en": "callers on a phone without SIM", "id": "penelepon dari telepon tanpa SIM"},
    "line_withheld": {"en": "callers with a withheld number", "id": "penelepon dengan nomor disembunyikan"},
    "line_ecall": {"en": "automatic calls from a car (eCall)", "id": "panggilan otomatis dari mobil (eCall)"},
    "line_alarm": {"en": "callers through an alarm device", "id": "penelepon lewat alat alarm"},
    "line_text": {"en": "callers by text", "id": "penelepon lewat teks"},
    "line_relay": {"en": "callers through a relay service", "id": "penelepon lewat layanan relai"},
    "line_unknown": {"en": "callers on a line of unknown kind", "id": "penelepon dari jalur yang tidak dikenal"},
}

STAGE_NAMES = {
    "ring": "As the phone rings: history, line and time only",
    "opening": "As the call joins the queue: history, line, time, and what the opening sounded like",
    "ended": "After the call: for call-back lists and reports, not for the queue",
}
SHORT_STAGE_NAMES = {"ring": "as the phone rings", "opening": "as the call joins the queue", "ended": "after the call"}
YARDSTICKS = {
    "scorecard": "This release",
    "unconstrained_boosting": "Boosting without limits (cannot be read)",
    "logistic_regression": "Logistic regression",
    "earlier_pranks": "Counting earlier calls closed as not genuine",
    "no_model": "No model",
}
DISCIPLINES = {
    "first_come": "First come, first served",
    "by_score": "Strictly by score, no limit on waiting",
    "fixed": "Fixed 120 or 300 s by score",
    "rule": "This release",
    "rule_without_guardrails": "This release without guardrails",
    "oracle": "Knowing who is genuine (impossible)",
}
CONDITIONS = {
    "hang_ups_0.95": "Busy hours: operators busy 95 of 100 seconds",
    "hang_ups_1.2": "Overload: a fifth more work than they can do",
    "hang_ups_2.0": "Disaster: twice the work they can do",
    "no_hang_ups_0.7": "Operators busy 70 of 100 seconds",
    "no_hang_ups_0.95": "Operators busy 95 of 100 seconds",
    "no_hang_ups_1.1": "A tenth more work than they can do",
}
GROUPS = {
    "history": "The number's history",
    "line": "The line",
    "time": "The time",
    "surge": "How many others ring just now",
    "call": "The call itself",
}
UNITS = {
    "h": "hours",
    "s": "seconds",
    "ratio": "times",
    "share": "of all, in %",
    "kind": "kinds",
    "day": "days of the week",
}
DIRECTIONS = {
    -1: "by design, a higher value never raises the score",
    0: "free to go either way",
    1: "by design, a higher value never lowers the score",
}
