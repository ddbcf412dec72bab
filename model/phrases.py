"""What a person reads of a feature in Indonesian; in English it stands in the table of features itself."""

from collections.abc import Mapping

#: By feature, as its `phrase`.
PHRASES: Mapping[str, str] = {
    "calls_1h": "{value} panggilan sekitar satu jam terakhir",
    "calls_1d": "{value} panggilan sekitar satu hari terakhir",
    "calls_30d": "{value} panggilan sekitar satu bulan terakhir",
    "since_last_h": "panggilan terakhir {value} yang lalu",
    "since_first_d": "nomor dikenal sejak {value}",
    "genuine_1d": "{value} ditutup sebagai darurat sekitar satu hari terakhir",
    "genuine_30d": "{value} ditutup sebagai darurat sekitar satu bulan terakhir",
    "genuine_ever": "{value} panggilan terdahulu ditutup sebagai darurat",
    "not_genuine_1h": "{value} ditutup sebagai bukan darurat sekitar satu jam terakhir",
    "not_genuine_1d": "{value} ditutup sebagai bukan darurat sekitar satu hari terakhir",
    "not_genuine_30d": "{value} ditutup sebagai bukan darurat sekitar satu bulan terakhir",
    "not_genuine_ever": "{value} panggilan terdahulu ditutup sebagai bukan darurat",
    "closed_odds_30d": "sebulan terakhir: {value} bukan darurat banding 1 darurat",
    "short_share_30d": "{value} percakapan terdahulu sangat singkat",
    "mean_duration_30d": "percakapan terdahulu rata-rata {value} detik",
    "silent_share_30d": "{value} percakapan terdahulu hampir sunyi",
    "mean_silence_30d": "percakapan terdahulu rata-rata {value} sunyi",
    "unanswered_1d": "{value} tidak terjawab sekitar satu hari terakhir",
    "line": "jalur: {value}",
    "number_shown": "nomor {value}",
    "local_hour": "menelepon pukul {value} waktu setempat",
    "weekday": "menelepon pada hari {value}",
    "surge_calls": "{value} kali jumlah panggilan biasanya",
    "surge_new": "{value} kali jumlah penelepon baru biasanya",
    "opening_duration_s": "terdengar {value} detik sebelum antrean",
    "opening_silence_ratio": "{value} sunyi sebelum antrean",
    "duration_s": "percakapan {value} detik",
    "silence_ratio": "percakapan {value} sunyi",
    "ended_by": "diakhiri oleh {value}",
}
#: By feature, what it is: its `meaning`.
MEANINGS: Mapping[str, str] = {
    "calls_1h": "panggilan dari nomor ini, waktu paruh satu jam",
    "calls_1d": "panggilan dari nomor ini, waktu paruh satu hari",
    "calls_30d": "panggilan dari nomor ini, waktu paruh tiga puluh hari",
    "since_last_h": "jam sejak panggilan terakhir dari nomor ini",
    "since_first_d": "hari sejak panggilan pertama dari nomor ini",
    "genuine_1d": "panggilan yang ditutup sebagai darurat, waktu paruh satu hari",
    "genuine_30d": "panggilan yang ditutup sebagai darurat, waktu paruh tiga puluh hari",
    "genuine_ever": "panggilan yang pernah ditutup sebagai darurat",
    "not_genuine_1h": "panggilan yang ditutup sebagai bukan darurat, waktu paruh satu jam",
    "not_genuine_1d": "panggilan yang ditutup sebagai bukan darurat, waktu paruh satu hari",
    "not_genuine_30d": "panggilan yang ditutup sebagai bukan darurat, waktu paruh tiga puluh hari",
    "not_genuine_ever": "panggilan yang pernah ditutup sebagai bukan darurat",
    "closed_odds_30d": "bukan darurat untuk setiap yang darurat, waktu paruh tiga puluh hari",
    "short_share_30d": "bagian percakapan terdahulu yang paling lama 19 detik",
    "mean_duration_30d": "lama rata-rata percakapan terdahulu",
    "silent_share_30d": "bagian percakapan terdahulu yang sedikitnya 90 % sunyi",
    "mean_silence_30d": "keheningan rata-rata percakapan terdahulu",
    "unanswered_1d": "panggilan yang tidak dijawab operator, waktu paruh satu hari",
    "line": "jenis jalur",
    "number_shown": "apakah nomor penelepon diketahui",
    "local_hour": "jam setempat",
    "weekday": "hari setempat",
    "surge_calls": "panggilan dalam sepuluh menit terakhir dibanding biasanya",
    "surge_new": "nomor baru dalam sepuluh menit terakhir dibanding biasanya",
    "opening_duration_s": "detik yang terdengar sebelum panggilan masuk antrean",
    "opening_silence_ratio": "keheningan sebelum panggilan masuk antrean",
    "duration_s": "lama percakapan",
    "silence_ratio": "keheningan dalam percakapan",
    "ended_by": "siapa yang mengakhiri panggilan",
}
NO_EARLIER_CALL = "belum ada panggilan sebelumnya dari nomor ini"
#: By feature that may not be known.
NOT_KNOWN: Mapping[str, str] = {
    "opening_duration_s": "lama terdengar sebelum antrean: tidak diketahui",
    "opening_silence_ratio": "keheningan sebelum antrean: tidak diketahui",
    "duration_s": "lama percakapan: tidak diketahui",
    "silence_ratio": "keheningan dalam percakapan: tidak diketahui",
    "ended_by": "siapa yang mengakhiri panggilan: tidak diketahui",
}
LESS_THAN_A_TENTH = "kurang dari 0,1"
UNITS: Mapping[str, str] = {"days": "hari", "hours": "jam", "minutes": "menit", "seconds": "detik"}
#: What the values of categories mean.
WORDS: Mapping[str, str] = {
    "mobile": "seluler", "landline": "telepon rumah", "payphone": "telepon umum", "voip": "internet (VoIP)",
    "no_sim": "tanpa SIM", "withheld": "nomor disembunyikan", "ecall": "otomatis dari mobil (eCall)",
    "alarm": "alat alarm", "text": "teks", "relay": "layanan relai", "unknown": "tidak dikenal",
    "not shown": "tidak ditampilkan", "shown": "ditampilkan",
    "Monday": "Senin", "Tuesday": "Selasa", "Wednesday": "Rabu", "Thursday": "Kamis", "Friday": "Jumat",
    "Saturday": "Sabtu", "Sunday": "Minggu",
    "caller": "penelepon", "operator": "operator", "network": "jaringan",
}  # fmt: skip
