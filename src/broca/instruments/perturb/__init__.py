"""Do mistakes and rewordings cost answers, where, and what puts it right again?"""
