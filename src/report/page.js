// Draws the report. The data come from the script element "data" (html_report.cc writes it); every text in them goes
// into the page as text, never as markup.
'use strict';

(() => {
  const byId = (id) => document.getElementById(id);
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const COLORS = {
    text: color('--text'), line: color('--line'), muted: color('--muted'),
    warm: color('--warm'), cold: color('--cold'), demand: '#b3129b', out: '#3f8f5f',
  };
  const faded = (hex) => hex + '66';

  // Numbers, as FormatBytes and FormatSeconds print them.
  function significant(value) {
    return value === 0 ? '0' : Math.abs(value) >= 999.5 ? value.toFixed(0) : value.toPrecision(3);
  }
  function bytesText(count) {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
    let unit = 0;
    while (Math.abs(count) >= 1024 && unit + 1 < units.length) {
      count /= 1024;
      ++unit;
    }
    return (unit === 0 ? String(count) : significant(count)) + ' ' + units[unit];
  }
  function secondsText(seconds) {
    if (seconds === 0) return '0 s';
    if (Math.abs(seconds) >= 1) return significant(seconds) + ' s';
    if (Math.abs(seconds) >= 1e-3) return significant(seconds * 1e3) + ' ms';
    return significant(seconds * 1e6) + ' us';
  }
  const rateText = (rate) => (rate > 0 ? significant(rate / 1e9) + ' GB/s' : 'unknown');
  const percent = (part, whole) => (whole > 0 ? (100 * part / whole).toFixed(1) + '%' : '-');

  function element(tag, text, className) {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    return node;
  }

  // columns: [title, is a number, cell text of an item].
  function fillTable(table, columns, items, rowClass) {
    const head = element('tr');
    for (const [title, isNumber] of columns) head.append(element('th', title, isNumber ? 'number' : ''));
    const thead = element('thead');
    thead.append(head);
    const body = element('tbody');
    items.forEach((item, index) => {
      const row = element('tr', undefined, rowClass ? rowClass(item) : '');
      for (const [, isNumber, text] of columns) row.append(element('td', text(item, index), isNumber ? 'number' : ''));
      body.append(row);
    });
    table.replaceChildren(thead, body);
  }

  // The rows of html_report.cc, with names.
  const toStep = ([seconds, exposed, bytesIn, bytesOut, demand, profiled, predicted, predictedExposed]) =>
      ({seconds, exposed, bytesIn, bytesOut, demand, profiled, predicted, predictedExposed});
  const toLayer = ([name, start, end, exposed, fast, slow, bytesIn, bytesOut, predicted], index) =>
      ({index, name: name || 'layer ' + index, start, end, exposed, fast, slow, bytesIn, bytesOut, predicted});
  const toMove = ([granule, isIn, issued, start, end, layer, bytes, demand, lane]) =>
      ({granule, isIn, issued, start, end, layer, bytes, demand, lane});

  const charts = new Map();
  function draw(id, config) {
    if (charts.has(id)) charts.get(id).destroy();
    config.options = Object.assign({responsive: true, maintainAspectRatio: false, animation: false}, config.options);
    charts.set(id, new Chart(byId(id), config));
  }
  const axis = (title, ticks, more) => Object.assign(
      {title: {display: true, text: title}, ticks: {callback: ticks}, grid: {color: COLORS.line}}, more);
  // Charts over the same time have the same width of labels, so that they line up.
  const labelWidth = (scale) => { scale.width = 84; };
  // Ticks at round binary sizes, about six of them.
  function byteSteps(most) {
    return Math.max(1, 2 ** Math.ceil(Math.log2(Math.max(1, most) / 6)));
  }
  const secondsTicks = (value) => secondsText(Number(value));
  const bytesTicks = (value) => bytesText(Number(value));

  function drawComparison(runs) {
    const labels = runs.map((run) => run.name);
    byId('comparison-box').style.height = (90 + 34 * runs.length) + 'px';
    draw('comparison-chart', {
      type: 'bar',
      data: {
        labels,
        datasets: [
          {label: 'computing', data: runs.map((run) => run.seconds - run.exposed), backgroundColor: COLORS.cold},
          {label: 'exposed: waiting for data', data: runs.map((run) => run.exposed), backgroundColor: COLORS.warm},
        ],
      },
      options: {
        indexAxis: 'y',
        scales: {
          x: axis('seconds per step (median)', secondsTicks, {stacked: true, beginAtZero: true}),
          y: {stacked: true, grid: {display: false}},
        },
        plugins: {tooltip: {callbacks: {
          label: (item) => item.dataset.label + ': ' + secondsText(item.raw),
          footer: (items) => 'whole step: ' + secondsText(runs[items[0].dataIndex].seconds),
        }}},
      },
    });
    const best = Math.min(...runs.map((run) => run.seconds).filter((seconds) => seconds > 0));
    fillTable(
        byId('runs'),
        [
          ['run', false, (run) => run.name],
          ['planner', false, (run) => run.planner || '-'],
          ['budget', true, (run) => (run.budget > 0 ? bytesText(run.budget) : '-')],
          ['of the peak', true, (run) => (run.budget > 0 ? percent(run.budget, run.peak) : '-')],
          ['peak fast bytes', true, (run) => (run.peak_fast > 0 ? bytesText(run.peak_fast) : '-')],
          ['s per step', true, (run) => secondsText(run.seconds)],
          ['to the fastest', true, (run) => (best > 0 ? (run.seconds / best).toFixed(3) + 'x' : '-')],
          ['exposed', true, (run) => secondsText(run.exposed)],
          ['predicted', true, (run) => (run.predicted > 0 ? secondsText(run.predicted) : '-')],
          ['predicted exposed', true, (run) => (run.predicted > 0 ? secondsText(run.predicted_exposed) : '-')],
          ['in per step', true, (run) => bytesText(run.bytes_in)],
          ['out per step', true, (run) => bytesText(run.bytes_out)],
        ],
        runs);
  }

  function showFacts(run) {
    const facts = [
      ['program', run.program || '-'], ['model', run.model || '-'], ['planner', run.planner || '-'],
      ['budget', run.budget > 0 ? bytesText(run.budget) + (run.peak > 0 ? ', ' + percent(run.budget, run.peak) + ' of the peak' : '') : 'none'],
      ['peak of live bytes', run.peak > 0 ? bytesText(run.peak) : 'unknown'],
      ['granule', run.granule > 0 ? bytesText(run.granule) : '-'],
      ...run.tiers.map(([name, rateIn, rateOut]) =>
          ['slow tier', name + ', in ' + rateText(rateIn) + ', out ' + rateText(rateOut)]),
    ];
    byId('facts').replaceChildren(...facts.flatMap(([name, text]) => [element('dt', name), element('dd', text)]));
  }

  // What the mouse chooses: the stretch of the step that the two charts over time show.
  const zoomed = ['memory-chart', 'migrations-chart'];
  function zoom(from, to) {
    for (const id of zoomed) {
      const chart = charts.get(id);
      if (!chart) continue;
      chart.options.scales.x.min = from;
      chart.options.scales.x.max = to;
      chart.update('none');
    }
  }
  function makeZoomable(id, length) {
    const canvas = byId(id);
    let from = null;
    const at = (event) => {
      const scale = charts.get(id).scales.x;
      return Math.min(length(), Math.max(0, scale.getValueForPixel(event.offsetX)));
    };
    canvas.addEventListener('mousedown', (event) => { from = at(event); });
    canvas.addEventListener('mouseup', (event) => {
      const to = at(event);
      if (from !== null && Math.abs(to - from) > length() / 1000) zoom(Math.min(from, to), Math.max(from, to));
      from = null;
    });
    canvas.addEventListener('dblclick', () => zoom(0, length()));
  }

  function layerAt(layers, time) {
    return layers.find((layer) => time < layer.end) || layers[layers.length - 1];
  }

  function drawMemory(run, layers, end) {
    // Bytes are known at the end of each layer; a step from one to the next, not a slope.
    const points = (pick) => layers.flatMap((layer) => [{x: layer.start, y: pick(layer)}, {x: layer.end, y: pick(layer)}]);
    const datasets = [
      {label: 'fast', data: points((layer) => layer.fast), borderColor: COLORS.warm, backgroundColor: faded(COLORS.warm),
        fill: 'origin', stack: 'bytes'},
      {label: 'slow', data: points((layer) => layer.slow), borderColor: COLORS.cold, backgroundColor: faded(COLORS.cold),
        fill: '-1', stack: 'bytes'},
    ];
    if (run.budget > 0) {
      datasets.push({label: 'fast budget', data: [{x: 0, y: run.budget}, {x: end, y: run.budget}],
        borderColor: COLORS.text, borderDash: [6, 4], fill: false, stack: 'budget'});
    }
    const most = layers.reduce((peak, layer) => Math.max(peak, layer.fast + layer.slow), run.budget);
    for (const dataset of datasets) Object.assign(dataset, {pointRadius: 0, borderWidth: 1.5});
    draw('memory-chart', {
      type: 'line',
      data: {datasets},
      options: {
        interaction: {mode: 'nearest', axis: 'x', intersect: false},
        scales: {
          x: axis('time in the step', secondsTicks, {type: 'linear', min: 0, max: end}),
          y: axis('bytes', bytesTicks, {stacked: true, beginAtZero: true, afterFit: labelWidth,
            ticks: {callback: bytesTicks, stepSize: byteSteps(most)}}),
        },
        plugins: {tooltip: {callbacks: {
          title: (items) => {
            const layer = layers[Math.floor(items[0].dataIndex / 2)];
            return items[0].dataset.stack === 'budget' || !layer ? '' : layer.index + ': ' + layer.name;
          },
          label: (item) => item.dataset.label + ': ' + bytesText(item.raw.y),
          afterBody: (items) => {
            const layer = layers[Math.floor(items[0].dataIndex / 2)];
            if (items[0].dataset.stack === 'budget' || !layer) return [];
            return [secondsText(layer.start) + ' to ' + secondsText(layer.end), 'exposed ' + secondsText(layer.exposed),
              'in ' + bytesText(layer.bytesIn) + ', out ' + bytesText(layer.bytesOut)];
          },
        }}},
      },
    });
  }

  function drawMigrations(recorded, layers, moves, end) {
    const inLane = (lane) => 'in ' + (lane + 1);
    const outLane = (lane) => 'out ' + (lane + 1);
    const lanes = [];
    for (let i = recorded.lanes_in - 1; i >= 0; --i) lanes.push(inLane(i));
    for (let i = 0; i < recorded.lanes_out; ++i) lanes.push(outLane(i));
    byId('migrations-box').style.height = (110 + Math.min(900, 12 * lanes.length)) + 'px';
    const group = (label, background, keep) => {
      const kept = moves.filter(keep);
      return {label: label + ' (' + kept.length + ')', moves: kept, backgroundColor: background, borderColor: background,
        borderWidth: {left: 1, right: 1}, borderSkipped: false, grouped: false, barPercentage: 1, categoryPercentage: 0.85,
        minBarLength: 2,
        data: kept.map((move) => ({x: [move.start, move.end], y: move.isIn ? inLane(move.lane) : outLane(move.lane)}))};
    };
    draw('migrations-chart', {
      type: 'bar',
      data: {labels: lanes, datasets: [
        group('fetched by plan', COLORS.cold, (move) => move.isIn && !move.demand),
        group('fetched on demand', COLORS.demand, (move) => move.isIn && move.demand),
        group('written back', COLORS.out, (move) => !move.isIn),
      ]},
      options: {
        indexAxis: 'y',
        scales: {
          x: axis('time in the step', secondsTicks, {type: 'linear', min: 0, max: end}),
          y: {type: 'category', labels: lanes, grid: {display: false}, afterFit: labelWidth},
        },
        plugins: {tooltip: {callbacks: {
          title: (items) => 'granule ' + items[0].dataset.moves[items[0].dataIndex].granule,
          label: (item) => {
            const move = item.dataset.moves[item.dataIndex];
            const layer = layers[move.layer];
            const during = layerAt(layers, move.end);
            return [
              (move.isIn ? (move.demand ? 'fetched on demand' : 'fetched by plan') : 'written back') + ', ' + bytesText(move.bytes),
              'issued in ' + (layer ? layer.index + ': ' + layer.name : 'layer ' + move.layer),
              'queued ' + secondsText(Math.max(0, move.start - move.issued)) + ', moved in ' + secondsText(move.end - move.start),
              secondsText(move.start) + ' to ' + secondsText(move.end) + (during ? ', during ' + during.name : ''),
            ];
          },
        }}},
      },
    });
    const sum = (keep) => bytesText(moves.filter(keep).reduce((total, move) => total + move.bytes, 0));
    byId('migrations-hint').textContent = moves.length === 0 ? 'Nothing moved in this step.' :
        'Each bar is one granule on its way, ' + moves.length + ' in all: ' + sum((move) => move.isIn) + ' in, ' +
        sum((move) => !move.isIn) + ' out. Bars in one lane follow each other.';
  }

  function drawExposed(layers) {
    const total = layers.reduce((sum, layer) => sum + layer.exposed, 0);
    const known = layers.some((layer) => layer.predicted >= 0);
    const predicted = layers.reduce((sum, layer) => sum + Math.max(0, layer.predicted), 0);
    byId('exposed-hint').textContent = 'In all ' + secondsText(total) + ' of waiting for data or for frames' +
        (known ? '; the plan predicted ' + secondsText(predicted) + '.' : '.');
    draw('exposed-chart', {
      type: 'bar',
      data: {
        labels: layers.map((layer) => layer.index),
        datasets: [{label: 'exposed', data: layers.map((layer) => layer.exposed), backgroundColor: COLORS.warm,
          barPercentage: 1, categoryPercentage: 0.9, minBarLength: 0},
        ...(known ? [{label: 'predicted', data: layers.map((layer) => Math.max(0, layer.predicted)),
          backgroundColor: COLORS.muted, barPercentage: 1, categoryPercentage: 0.9, minBarLength: 0}] : [])],
      },
      options: {
        interaction: {mode: 'index', intersect: false},
        scales: {x: axis('layer', function(value) { return this.getLabelForValue(value); }, {grid: {display: false}}),
          y: axis('seconds', secondsTicks, {beginAtZero: true, suggestedMax: 1e-6})},
        plugins: {legend: {display: known}, tooltip: {callbacks: {
          title: (items) => layers[items[0].dataIndex].index + ': ' + layers[items[0].dataIndex].name,
          label: (item) => {
            const layer = layers[item.dataIndex];
            if (item.datasetIndex === 1) return 'predicted ' + secondsText(Math.max(0, layer.predicted));
            return 'exposed ' + secondsText(layer.exposed) + ' of ' + secondsText(layer.end - layer.start);
          },
        }}},
      },
    });
  }

  function drawSteps(steps) {
    const computing = (profiled) =>
        steps.map((step) => (Boolean(step.profiled) === profiled ? step.seconds - step.exposed : null));
    draw('steps-chart', {
      type: 'bar',
      data: {
        labels: steps.map((step, index) => index),
        datasets: [
          {label: 'computing', data: computing(false), backgroundColor: COLORS.cold},
          {label: 'computing, profiled', data: computing(true), backgroundColor: COLORS.muted},
          {label: 'exposed', data: steps.map((step) => step.exposed), backgroundColor: COLORS.warm},
        ],
      },
      options: {
        interaction: {mode: 'index', intersect: false},
        scales: {x: axis('step', function(value) { return this.getLabelForValue(value); }, {stacked: true, grid: {display: false}}),
          y: axis('seconds', secondsTicks, {stacked: true, beginAtZero: true})},
        plugins: {tooltip: {callbacks: {
          label: (item) => (item.raw === null ? null : item.dataset.label + ': ' + secondsText(item.raw)),
        }, filter: (item) => item.raw !== null}},
      },
    });
    fillTable(
        byId('steps'),
        [
          ['step', true, (step, index) => String(index)],
          ['seconds', true, (step) => secondsText(step.seconds)],
          ['exposed', true, (step) => secondsText(step.exposed)],
          ['predicted', true, (step) => (step.predicted > 0 ? secondsText(step.predicted) : '-')],
          ['predicted exposed', true, (step) => (step.predicted > 0 ? secondsText(step.predictedExposed) : '-')],
          ['in', true, (step) => bytesText(step.bytesIn)],
          ['out', true, (step) => bytesText(step.bytesOut)],
          ['demand fetches', true, (step) => String(step.demand)],
          ['', false, (step) => (step.profiled ? 'profiled' : '')],
        ],
        steps, (step) => (step.profiled ? 'profiled' : ''));
  }

  let stepLength = 0;
  function showRun(run) {
    byId('run-title').textContent = run.name;
    showFacts(run);
    byId('recorded').hidden = !run.recorded;
    byId('not-recorded').hidden = Boolean(run.recorded);
    if (run.recorded) {
      const layers = run.recorded.layers.map(toLayer);
      const moves = run.recorded.migrations.map(toMove);
      stepLength = [...layers, ...moves].reduce((end, item) => Math.max(end, item.end), 0);
      drawMemory(run, layers, stepLength);
      drawMigrations(run.recorded, layers, moves, stepLength);
      drawExposed(layers);
      fillTable(
          byId('layers'),
          [
            ['layer', true, (layer) => String(layer.index)],
            ['name', false, (layer) => layer.name],
            ['start', true, (layer) => secondsText(layer.start)],
            ['time', true, (layer) => secondsText(layer.end - layer.start)],
            ['exposed', true, (layer) => secondsText(layer.exposed)],
            ['predicted exposed', true, (layer) => (layer.predicted >= 0 ? secondsText(layer.predicted) : '-')],
            ['fast', true, (layer) => bytesText(layer.fast)],
            ['slow', true, (layer) => bytesText(layer.slow)],
            ['in', true, (layer) => bytesText(layer.bytesIn)],
            ['out', true, (layer) => bytesText(layer.bytesOut)],
          ],
          layers);
    }
    drawSteps(run.steps.map(toStep));
  }

  function start() {
    const runs = JSON.parse(byId('data').textContent);
    Chart.defaults.color = COLORS.text;
    Chart.defaults.font.family = 'system-ui, sans-serif';
    const models = [...new Set(runs.map((run) => run.model).filter(Boolean))];
    byId('subtitle').textContent = models.join(', ');
    if (models.length === 1) document.title = 'Thermocline report: ' + models[0];
    byId('comparison').hidden = runs.length === 0;
    byId('run').hidden = runs.length === 0;
    if (runs.length === 0) return;
    drawComparison(runs);
    const select = byId('run-select');
    runs.forEach((run, index) => {
      const option = element('option', run.name);
      option.value = String(index);
      select.append(option);
    });
    // The last run that has something to show, since the first ones of a comparison are its baselines.
    const shown = Math.max(0, runs.map((run) => Boolean(run.recorded)).lastIndexOf(true));
    select.value = String(shown);
    select.addEventListener('change', () => showRun(runs[Number(select.value)]));
    showRun(runs[shown]);
    for (const id of zoomed) makeZoomable(id, () => stepLength);
    document.body.dataset.ready = 'yes';
  }

  try {
    start();
  } catch (error) {
    byId('failure').hidden = false;
    byId('failure').textContent = 'This page could not be drawn: ' + error.message;
    throw error;
  }
})();
