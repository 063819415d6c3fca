//! Stock plugin `redis`. Redis answers PING and has loaded its data.
