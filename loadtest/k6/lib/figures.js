// Numbers as people read them.

export function whole(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
}

export function ms(value) {
  if (value >= 10000) {
    return `${(value / 1000).toFixed(1)} s`;
  }
  if (value >= 1000) {
    return `${(value / 1000).toFixed(2)} s`;
  }
  if (value >= 100) {
    return `${value.toFixed(0)} ms`;
  }
  return value >= 10 ? `${value.toFixed(1)} ms` : `${value.toFixed(2)} ms`;
}

export function share(value) {
  return value === 0 || value === 1 ? `${value * 100} %` : `${(value * 100).toFixed(2)} %`;
}

export function rate(value) {
  return value >= 100 ? whole(value) : value.toFixed(1);
}

export function bytes(value) {
  if (value >= 1 << 20) {
    return `${(value / (1 << 20)).toFixed(1)} MiB`;
  }
  return value >= 1024 ? `${(value / 1024).toFixed(1)} KiB` : `${Math.round(value)} B`;
}
